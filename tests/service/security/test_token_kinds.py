"""The service with JWT_KINDS: session tokens, OAuth access tokens, or both."""

import time
from uuid import uuid4

import httpx
import pytest

from better_auth_keys import Signer
from scripts.proofs.in_process import running
from service.app import create_app
from service.settings.model import Settings
from tests.service.conftest import ORIGIN, Person

TASKS = "/api/tasks"


def oauth(signer: Signer, subject: str, scope: str | None, **changes: object) -> httpx.Headers:
    """Return the headers of a request with an OAuth access token."""
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": f"{ORIGIN}/api/auth",
        "aud": ORIGIN,
        "sub": subject,
        "client_id": "app",
        "azp": "app",
        "jti": "1",
        "iat": now,
        "exp": now + 3600,
        **({} if scope is None else {"scope": scope}),
        **changes,
    }
    token = signer.mint(claims, header={"typ": "at+jwt"})
    return httpx.Headers({"Authorization": f"Bearer {token}"})


async def test_user_has_the_same_tasks_with_both_kinds_of_tokens(
    settings: Settings, signer: Signer, headers_of: Person
) -> None:
    user = f"both-{uuid4()}"
    accepting = settings.model_copy(update={"jwt_kinds": ("session", "oauth")})
    async with running(create_app(accepting)) as client:
        session = headers_of(user)
        writing = oauth(signer, user, "tasks:read tasks:write")
        for headers in (session, writing):
            made = await client.post(TASKS, headers=headers, json={"title": "x"})
            assert made.status_code == 201
        reading = await client.get(TASKS, headers=oauth(signer, user, "tasks:read"))
        assert len(reading.json()["items"]) == 2


@pytest.mark.parametrize("scope", ["tasks:read", "", None])
async def test_row52_oauth_token_may_do_what_its_scopes_say(
    settings: Settings, signer: Signer, scope: str | None
) -> None:
    accepting = settings.model_copy(update={"jwt_kinds": ("session", "oauth")})
    async with running(create_app(accepting)) as client:
        headers = oauth(signer, f"scoped-{uuid4()}", scope)
        read = await client.get(TASKS, headers=headers)
        assert read.status_code == (200 if scope else 403)
        written = await client.post(TASKS, headers=headers, json={"title": "x"})
        assert written.status_code == 403
        assert written.json()["code"] == "insufficient_scope"


@pytest.mark.parametrize(("kinds", "accepted"), [(("session",), "session"), (("oauth",), "oauth")])
async def test_row51_kind_that_is_not_accepted_gets_401(
    settings: Settings,
    signer: Signer,
    headers_of: Person,
    kinds: tuple[str, ...],
    accepted: str,
) -> None:
    async with running(create_app(settings.model_copy(update={"jwt_kinds": kinds}))) as client:
        tokens = {
            "session": headers_of(f"one-{uuid4()}"),
            "oauth": oauth(signer, f"one-{uuid4()}", "tasks:read"),
        }
        for kind, headers in tokens.items():
            status = (await client.get(TASKS, headers=headers)).status_code
            assert status == (200 if kind == accepted else 401)
