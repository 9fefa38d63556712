"""`mint-token`: sign a token with a local key, and refuse to."""

import json
from pathlib import Path

import pytest

from better_auth_keys import AccessTokenVerifier, StaticKeySet, VerificationPolicy
from scripts.devstack.mint_token import main, provide_signer

ORIGIN = "http://localhost:3000"


@pytest.fixture
async def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENVIRONMENT", "development")
    monkeypatch.setenv("SIGNING_KEYS_URL", (tmp_path / "signing-keys.json").as_uri())
    monkeypatch.setenv("BETTER_AUTH_URL", ORIGIN)
    await provide_signer(tmp_path)
    return tmp_path


async def test_token_speaks_for_its_subject_within_its_scope(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--subject", "ada", "--scope", "tasks:read", "--lifetime", "1h"]) == 0
    policy = VerificationPolicy(issuers=ORIGIN, audiences=ORIGIN)
    verifier = AccessTokenVerifier(StaticKeySet.from_file(folder / "jwks.json"), policy)
    token = await verifier.verify(capsys.readouterr().out.strip())
    assert (token.subject, token.scopes) == ("ada", frozenset({"tasks:read"}))
    assert token.expires_at - token.issued_at == 3600


async def test_audience_is_the_service_where_its_url_is_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SERVICE_URL", "http://LOCALHOST:8000/")
    assert main(["--subject", "ada"]) == 0
    policy = VerificationPolicy(issuers=ORIGIN, audiences="http://localhost:8000")
    verifier = AccessTokenVerifier(StaticKeySet.from_file(folder / "jwks.json"), policy)
    token = await verifier.verify(capsys.readouterr().out.strip())
    assert (token.issuer, token.audiences) == (ORIGIN, frozenset({"http://localhost:8000"}))


@pytest.mark.usefixtures("folder")
async def test_issuer_and_audience_may_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--subject", "ada", "--issuer", "https://a", "--audience", "b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["token"].count(".") == 2


async def test_file_is_made_for_us_alone_and_never_overwritten(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "token.txt"
    assert main(["--subject", "ada", "--out", str(out)]) == 0
    assert out.stat().st_mode & 0o777 == 0o600
    first = out.read_text()
    assert main(["--subject", "ada", "--out", str(out)]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert out.read_text() == first
    (folder / "link").symlink_to(folder / "elsewhere")
    assert main(["--subject", "ada", "--out", str(folder / "link")]) == 1
    assert not (folder / "elsewhere").exists()


REFUSED: dict[str, tuple[dict[str, str], list[str], int, str]] = {
    "production": ({"ENVIRONMENT": "production"}, [], 2, "only for ENVIRONMENT=development"),
    "production, unsaid": ({"ENVIRONMENT": ""}, [], 2, "only for ENVIRONMENT=development"),
    "no file named": ({"SIGNING_KEYS_URL": ""}, [], 2, "SIGNING_KEYS_URL: not set"),
    "no file there": ({"SIGNING_KEYS_URL": "file:///nowhere"}, [], 1, "no key signs"),
    "no lifetime": ({}, ["--lifetime", "0s"], 2, "positive"),
    "a lifetime that nobody takes": ({}, ["--lifetime", "25h"], 2, "at most 86400s"),
    "a lifetime without a unit": ({}, ["--lifetime", "900"], 2, "such as 90s"),
    "no subject": ({}, ["--subject", ""], 2, "1 to 255"),
    "a subject of two lines": ({}, ["--subject", "a\nb"], 2, "printable"),
    "a URL that is none": ({"BETTER_AUTH_URL": "nonsense"}, [], 2, "BETTER_AUTH_URL"),
    "an unknown option": ({}, ["--sub", "x"], 2, "unrecognized arguments"),
}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("case", REFUSED)
async def test_refusal_is_one_line(
    case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, arguments, code, line = REFUSED[case]
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    try:
        found = main(["--subject", "ada", *arguments])
    except SystemExit as end:
        found = int(str(end.code))
    said = capsys.readouterr()
    assert (found, said.out, said.err.count("\n")) == (code, "", 1)
    assert line in said.err
