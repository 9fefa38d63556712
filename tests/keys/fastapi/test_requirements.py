"""`auth.require`, `auth.require_role`, `auth.require_organization` and `Security` with scopes."""

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Security

from better_auth_keys import AccessTokenVerifier
from better_auth_keys.fastapi import BetterAuth, User
from tests.keys.fastapi.conftest import Mint, asking

CHALLENGE = (
    'Bearer realm="api", error="insufficient_scope", error_description="The request requires'
    ' higher privileges than provided by the access token.", scope="{}"'
)
NEON = {"id": "org-1", "slug": "acme", "role": "member,owner"}


def app_of(auth: BetterAuth[User]) -> FastAPI:
    app = FastAPI()
    needed = {
        "/read": auth.require("tasks:read"),
        "/both": auth.require("tasks:write", "tasks:read"),
        "/role": auth.require_role("admin", "support"),
        "/organization": auth.require_organization(),
        "/owner": auth.require_organization(role="owner"),
        "/officer": auth.require_organization(role=["owner", "admin"]),
    }
    for path, dependency in needed.items():

        @app.get(path)
        async def operation(user: Annotated[User, Depends(dependency)]) -> str:
            return user.id

    @app.get("/security")
    async def secured(user: Annotated[User, Security(auth.user, scopes=["tasks:read"])]) -> str:
        return user.id

    @app.get("/maybe")
    async def maybe(
        user: Annotated[User | None, Security(auth.optional_user, scopes=["tasks:read"])],
    ) -> str | None:
        return user and user.id

    return app


@pytest.mark.parametrize(
    ("path", "scope", "allowed"),
    [
        ("/read", ..., True),  # a session token is not limited
        ("/read", "tasks:read other", True),
        ("/read", "tasks:write", False),
        ("/read", "", False),
        ("/both", "tasks:read tasks:write", True),
        ("/both", "tasks:read", False),
        ("/security", "tasks:read", True),
        ("/security", "tasks:write", False),
        ("/maybe", "tasks:read", True),
        ("/maybe", "tasks:write", False),
    ],
)
async def test_row31_row35_scopes_are_required_where_the_token_has_any(
    verifier: AccessTokenVerifier, headers_of: Mint, path: str, scope: object, *, allowed: bool
) -> None:
    async with asking(app_of(BetterAuth(verifier))) as client:
        answer = await client.get(path, headers=headers_of(scope=scope))
    if allowed:
        assert (answer.status_code, answer.json()) == (200, "alice")
        return
    needed = "tasks:read tasks:write" if path == "/both" else "tasks:read"
    assert answer.status_code == 403
    assert answer.json() == {"detail": f"The access token needs the scope {needed}."}
    assert answer.headers["WWW-Authenticate"] == CHALLENGE.format(needed)


@pytest.mark.parametrize(
    ("path", "claims", "detail"),
    [
        ("/role", {"role": "user,admin"}, None),
        ("/role", {"role": ["support"]}, None),
        ("/role", {"role": "user"}, "This needs the role admin or support."),
        ("/role", {"role": "administrator"}, "This needs the role admin or support."),
        ("/role", {}, "This needs the role admin or support."),
        ("/role", {"o": {"id": "1", "role": "admin"}}, "This needs the role admin or support."),
        ("/organization", {"activeOrganizationId": "org-1"}, None),
        ("/organization", {"o": NEON}, None),
        (
            "/organization",
            {"activeOrganizationId": None},
            "This needs an active organization. Select one, then get another token.",
        ),
        ("/owner", {"o": NEON}, None),
        ("/officer", {"o": NEON}, None),
        (
            "/officer",
            {"o": {**NEON, "role": "member"}},
            "This needs the role admin or owner in the organization.",
        ),
        (
            "/owner",
            {"activeOrganizationId": "org-1", "role": "owner"},
            "This needs the role owner in the organization.",
        ),
    ],
)
async def test_roles_and_organizations_are_read_from_the_claims_of_the_plugins(
    verifier: AccessTokenVerifier,
    headers_of: Mint,
    path: str,
    claims: dict[str, object],
    detail: str | None,
) -> None:
    async with asking(app_of(BetterAuth(verifier))) as client:
        answer = await client.get(path, headers=headers_of(**claims))
    if detail is None:
        assert (answer.status_code, answer.json()) == (200, "alice")
        return
    assert (answer.status_code, answer.json()) == (403, {"detail": detail})
    assert "WWW-Authenticate" not in answer.headers, "another token would not help"


@pytest.mark.parametrize("path", ["/read", "/role", "/organization", "/security"])
async def test_request_without_a_token_is_401_before_any_right_is_checked(
    verifier: AccessTokenVerifier, path: str
) -> None:
    async with asking(app_of(BetterAuth(verifier))) as client:
        assert (await client.get(path)).status_code == 401


def test_requirements_that_require_nothing_are_refused(verifier: AccessTokenVerifier) -> None:
    auth = BetterAuth(verifier)
    for scopes in ((), ("",), ("tasks:read tasks:write",)):
        with pytest.raises(ValueError, match="scope"):
            auth.require(*scopes)
    for roles in ((), ("",)):
        with pytest.raises(ValueError, match="role"):
            auth.require_role(*roles)


@pytest.mark.parametrize(
    ("user", "statuses"),
    [
        (User("bob"), {"/read": 200, "/role": 403, "/organization": 403}),
        (
            User("bob", scopes=frozenset(), claims={"role": "admin", "o": NEON}),
            {"/read": 403, "/role": 200, "/organization": 200},
        ),
    ],
)
async def test_override_of_the_user_applies_to_every_requirement(
    verifier: AccessTokenVerifier, user: User, statuses: dict[str, int]
) -> None:
    auth = BetterAuth(verifier)
    app = app_of(auth)
    app.dependency_overrides[auth.user] = lambda: user
    async with asking(app) as client:
        for path, status in {**statuses, "/security": 200}.items():
            assert (await client.get(path)).status_code == status, path
    app.dependency_overrides[auth.require_role("support", "admin")] = lambda: User("carol")
    async with asking(app) as client:
        assert (await client.get("/role")).json() == "carol"


async def test_override_of_the_optional_user_applies(verifier: AccessTokenVerifier) -> None:
    auth = BetterAuth(verifier)
    app = app_of(auth)
    app.dependency_overrides[auth.optional_user] = lambda: User("bob")
    async with asking(app) as client:
        assert (await client.get("/maybe")).json() == "bob"
