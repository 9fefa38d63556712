"""./scripts/dev --https: two host names, a new certificate authority, and cross-origin requests."""

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from joserfc import jws

from scripts.devstack.network import free_ports
from scripts.proofs.compose.visitors import client as visitor
from tests.end_to_end.conftest import ROOT, Stack, started, temporary_home

pytestmark = pytest.mark.slow

FROM_TLS = {"X-Forwarded-Proto": "https"}


@pytest.fixture(scope="module")
def https_home() -> Iterator[Path]:
    with temporary_home() as folder:
        yield folder


@pytest.fixture(scope="module")
def https(https_home: Path) -> Iterator[Stack]:
    ports = dict(zip(("PORT", "WEB_PORT", "HTTPS_PORT"), map(str, free_ports(3)), strict=True))
    web, api = (f"https://{name}.localhost:{ports['HTTPS_PORT']}" for name in ("app", "api"))
    with started(https_home, "--https", web=web, api=api, **ports) as running:
        yield running


@pytest.fixture
def authority(https: Stack, https_home: Path) -> Path:
    """The authority's certificate, at the path that `--trust` prints."""
    said = subprocess.run(
        [ROOT / "scripts" / "dev", "--home", https_home, "--trust"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert https.process.poll() is None
    return Path(said.partition("\n")[0].rpartition(" ")[2])


def test_ready_line_names_both_and_keys_of_the_authority_are_private(
    https: Stack, authority: Path
) -> None:
    line = https.wait_for("^ready ", 1)
    assert f"web {https.web}  api {https.api}" in line
    for file in authority.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


async def test_story_across_origins_with_no_other_trust_than_that_authority(
    https: Stack, authority: Path
) -> None:
    person = {"name": "Ada", "email": "ada@example.com", "password": "correct horse"}
    async with visitor(authority) as client:
        answer = await client.post(f"{https.web}/api/auth/sign-up/email", json=person)
        answer.raise_for_status()
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Secure-")
        assert {"Secure", "HttpOnly", "SameSite=Lax"} <= {*cookie.split("; ")}
        session = {"Authorization": f"Bearer {answer.headers['set-auth-token']}"}
        # The session's cookie is no use to another site.
        stolen = {"Origin": "https://evil.localhost", "Cookie": cookie.partition(";")[0]}
        forged = await client.post(f"{https.web}/api/auth/sign-out", headers=stolen, json={})
        assert (forged.status_code, forged.json()["code"]) == (403, "INVALID_ORIGIN")
        client.cookies.clear()
        token = (await client.get(f"{https.web}/api/auth/token", headers=session)).json()["token"]

        claims = json.loads(jws.extract_compact(token.encode()).payload)
        assert (claims["iss"], claims["aud"]) == (https.web, https.api)

        across = {"Origin": https.web}
        asked = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        preflight = await client.options(f"{https.api}/api/tasks", headers=across | asked)
        assert preflight.headers["Access-Control-Allow-Origin"] == https.web
        made = await client.post(
            f"{https.api}/api/tasks",
            headers={**across, "Authorization": f"Bearer {token}"},
            json={"title": "x"},
        )
        assert made.status_code == 201
        assert made.headers["Access-Control-Allow-Origin"] == https.web
        refused = await client.get(f"{https.api}/api/tasks", headers=across)
        assert refused.status_code == 401
        assert refused.headers["Access-Control-Allow-Origin"] == https.web
        assert f'resource_metadata="{https.api}/' in refused.headers["WWW-Authenticate"]
        stranger = await client.options(
            f"{https.api}/api/tasks", headers=asked | {"Origin": "https://evil.localhost"}
        )
        assert stranger.status_code == 400

        # Through the service, which fetched the keys and calls Better Auth through the proxy.
        login = await client.post(
            f"{https.api}/api/auth/login", json={k: person[k] for k in ("email", "password")}
        )
        assert login.status_code == 200
        assert (await client.get(f"{https.api}/metrics")).status_code == 404

        # Through web/, which calls the service.
        gone = await client.post(f"{https.web}/api/auth/delete-user", headers=session, json={})
        assert gone.status_code == 200, gone.text
        assert (await client.get(f"{https.web}/api/auth/token", headers=session)).status_code == 401


async def test_authority_is_not_one_that_anybody_trusts_by_itself(https: Stack) -> None:
    port = https.web.rpartition(":")[2]
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(f"https://localhost:{port}")


async def test_web_app_sends_those_away_who_came_to_its_name_over_plain_http(https: Stack) -> None:
    address = https.wait_for("^start   web: ", 1).split()[2].removesuffix("/api/auth/jwks")
    named = {"Host": https.web.removeprefix("https://")}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        read = await client.get(f"{address}/sign-up?a=b", headers=named)
        assert (read.status_code, read.headers["Location"]) == (308, f"{https.web}/sign-up?a=b")
        written = await client.post(f"{address}/api/auth/sign-in/email", headers=named, json={})
        assert (written.status_code, written.json()["code"]) == (403, "HTTPS_REQUIRED")
        # Another host name belongs to an internal client, such as a health check.
        assert (await client.get(f"{address}/api/auth/jwks")).status_code == 200
        ended = await client.get(f"{address}/sign-up", headers={**named, **FROM_TLS})
        assert ended.status_code == 200


def test_check_config_finds_nothing_wrong(https: Stack, https_home: Path) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "ops", "--home", https_home, "check-config"],
        check=False,
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert https.process.poll() is None
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\nok ") == 7


def test_trust_before_there_is_an_authority_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "dev", "--home", tmp_path / "none", "--trust"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == "dev: there is no certificate authority yet: run ./scripts/dev --https once\n"
    )
