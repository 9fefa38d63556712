"""`rotate-keys` on a copy of Better Auth's table, and on a key file."""

import asyncio
from pathlib import Path

import pytest

from better_auth_keys import Signer
from scripts.operations.rotate_keys.command import main
from scripts.operations.rotate_keys.key_file import FileSigningKeys
from tests.conftest import DatabaseUrls
from tests.scripts.operations.rotate_keys.commands import Result, Rotate
from tests.simulators.jwks_table import SECRET, Issuer


@pytest.fixture
def issuer(issuer_database: DatabaseUrls) -> Issuer:
    return Issuer(issuer_database.auth)


@pytest.fixture
def rotate(
    issuer_database: DatabaseUrls,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Rotate:
    """Run the command with the settings of that table. No result has a secret or a traceback."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "BETTER_AUTH_SECRETS",
        "OLD_BETTER_AUTH_SECRET",
        "OLD_BETTER_AUTH_SECRETS",
        "SIGNING_ALGORITHM",
        "ACCESS_TOKEN_LIFETIME",
        "BETTER_AUTH_URL",
        "JWKS_URL",
        "SIGNING_KEYS_URL",
        "PINNED_KEYS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AUTH_DATABASE_URL", issuer_database.auth)
    monkeypatch.setenv("DATABASE_URL", issuer_database.app)
    monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
    monkeypatch.setenv("JWKS_GRACE_PERIOD", "30d")

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as end:
            code = int(str(end.code))
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        for secret in (SECRET, issuer_database.auth, '"d"', "PRIVATE"):
            assert secret not in said.out + said.err
        return Result(code, said.out, said.err)

    return run


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileSigningKeys:
    """A key file with an active key and a revoked one."""
    monkeypatch.delenv("SIGNING_KEYS_URL", raising=False)
    file = FileSigningKeys(tmp_path / "keys.json")

    async def publish() -> None:
        async with file.changing("a test") as transaction:
            await transaction.publish(Signer.generate())
            await transaction.revoke("stolen")

    asyncio.run(publish())
    return file
