"""The fixtures of `better_auth_keys.testing.plugin`."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI

from better_auth_keys.fastapi import BetterAuth, User
from better_auth_keys.testing import HttpIssuer, Issuer, as_user
from better_auth_keys.testing.plugin import AsUser
from scripts.proofs.in_process import running


async def current_user() -> str:
    return "no one"


async def other_user() -> str:
    return "no one else"


async def test_better_auth_issuer_signs_tokens_that_its_verifier_accepts(
    better_auth_issuer: Issuer,
) -> None:
    async with better_auth_issuer.verifier() as verifier:
        assert (await verifier.verify(better_auth_issuer.token("ada"))).subject == "ada"


def test_better_auth_server_publishes_its_keys_over_http(better_auth_server: HttpIssuer) -> None:
    [key] = httpx.get(better_auth_server.jwks_url).json()["keys"]
    assert key["kid"] == better_auth_server.signer.kid


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()

    @app.get("/me")
    async def me(user: Annotated[str, Depends(current_user)]) -> str:
        return user

    return app


@pytest.fixture
def app_without_overrides_afterwards(app: FastAPI) -> Iterator[FastAPI]:
    """Return the app, and check it once the fixture `as_user` has ended."""
    yield app
    assert app.dependency_overrides == {}


async def test_as_user_fixture_answers_as_the_user(app: FastAPI, as_user: AsUser) -> None:
    as_user(app, current_user, "ada")
    async with running(app) as client:
        assert (await client.get("/me")).json() == "ada"


async def test_as_user_fixture_ends_with_its_block(app: FastAPI, as_user: AsUser) -> None:
    as_user(app, current_user, "ada")
    async with running(app) as client:
        with as_user(app, current_user, "bob") as bob:
            assert (await client.get("/me")).json() == bob == "bob"
            as_user(app, current_user, "eve")
            assert (await client.get("/me")).json() == "eve"
        assert (await client.get("/me")).json() == "ada"


async def test_as_user_fixture_ends_with_the_test(
    app_without_overrides_afterwards: FastAPI, as_user: AsUser
) -> None:
    app = app_without_overrides_afterwards
    as_user(app, current_user, "ada")
    with as_user(app, current_user, "bob"):
        as_user(app, current_user, "eve")
    as_user(app, other_user, "bob")
    assert set(app.dependency_overrides) == {current_user, other_user}


async def test_as_user_ends_with_its_block_and_may_be_nested(app: FastAPI) -> None:
    async with running(app) as client:

        async def me() -> object:
            return (await client.get("/me")).json()

        with as_user(app, current_user, "ada"):
            with as_user(app, current_user, "bob") as bob:
                assert await me() == bob == "bob"
            assert await me() == "ada"
        assert await me() == "no one"
    assert app.dependency_overrides == {}


async def test_as_user_replaces_the_user_of_all_requirements_of_better_auth(
    better_auth_issuer: Issuer,
) -> None:
    auth = BetterAuth(better_auth_issuer.verifier())
    app = FastAPI(lifespan=auth.lifespan)

    @app.get("/me")
    async def me(user: Annotated[User, Depends(auth.user)]) -> str:
        return user.id

    @app.get("/tasks")
    async def tasks(user: Annotated[User, Depends(auth.require("tasks:read"))]) -> str:
        return user.id

    @app.get("/maybe")
    async def maybe(user: Annotated[User | None, Depends(auth.optional_user)]) -> str | None:
        return user.id if user else None

    async with running(app) as client:
        with as_user(app, auth.user, User("ada", scopes=frozenset())):
            assert (await client.get("/me")).json() == "ada"
            assert (await client.get("/tasks")).status_code == 403
            # A dependency of its own, because a test may want the answer without a user.
            assert (await client.get("/maybe")).json() is None
        with as_user(app, auth.optional_user, User("ada")):
            assert (await client.get("/maybe")).json() == "ada"
        assert (await client.get("/me")).status_code == 401
        headers = {"Authorization": f"Bearer {better_auth_issuer.token('bob')}"}
        assert (await client.get("/me", headers=headers)).json() == "bob"


def test_kit_imports_neither_pytest_nor_fastapi() -> None:
    program = (
        "import sys, better_auth_keys.testing;"
        "print(*sorted({'pytest', 'fastapi', 'starlette'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
