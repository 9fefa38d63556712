"""User models of your own, made of the claims."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict, Field

from better_auth_keys import AccessTokenVerifier
from better_auth_keys.fastapi import BetterAuth
from tests.keys.fastapi.conftest import Mint, asking


class Model(BaseModel):
    sub: str
    email_verified: bool = Field(alias="emailVerified")
    created_at: datetime | None = Field(default=None, alias="createdAt")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sub: str


@dataclass
class Record:
    sub: str
    plan: str = "free"


async def test_pydantic_model_is_created_of_the_claims(
    verifier: AccessTokenVerifier, headers_of: Mint
) -> None:
    auth = BetterAuth(verifier, user=Model)
    app = FastAPI()

    @app.get("/me")
    async def me(user: Annotated[Model, Depends(auth.user)]) -> str:
        assert isinstance(user, Model)
        return f"{user.sub} {user.email_verified} {user.created_at}"

    async with asking(app) as client:
        answer = await client.get("/me", headers=headers_of(createdAt="2026-01-01T00:00:00Z"))
    assert answer.json() == "alice False 2026-01-01 00:00:00+00:00"


async def test_dataclass_is_created_of_the_claims(
    verifier: AccessTokenVerifier, headers_of: Mint
) -> None:
    auth = BetterAuth(verifier, user=Record)
    app = FastAPI()

    @app.get("/me")
    async def me(user: Annotated[Record, Depends(auth.user)]) -> bool:
        return user == Record("alice", "pro")

    async with asking(app) as client:
        assert (await client.get("/me", headers=headers_of(plan="pro"))).json() is True


async def test_claims_that_do_not_fit_are_401_and_the_log_names_them_without_values(
    verifier: AccessTokenVerifier, headers_of: Mint, caplog: pytest.LogCaptureFixture
) -> None:
    auth = BetterAuth(verifier, user=Model)
    app = FastAPI()

    @app.get("/me")
    async def me(user: Annotated[Model, Depends(auth.user)]) -> str:
        return user.sub

    async with asking(app) as client:
        answer = await client.get("/me", headers=headers_of(emailVerified=..., createdAt="secret"))
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    [line] = [record for record in caplog.records if record.name == "better_auth_keys"]
    assert line.levelno == logging.WARNING
    assert line.getMessage() == (
        "a valid token was refused: the claims do not fit Model"
        " (emailVerified: missing, createdAt: datetime_from_date_parsing)"
    )


async def test_rights_of_a_model_are_those_of_the_token(
    verifier: AccessTokenVerifier, headers_of: Mint
) -> None:
    auth = BetterAuth(verifier, user=Record)
    app = FastAPI()

    @app.get("/role")
    async def role(user: Annotated[Record, Depends(auth.require_role("admin"))]) -> str:
        return user.sub

    @app.get("/scope")
    async def scope(user: Annotated[Record, Depends(auth.require("a"))]) -> str:
        return user.sub

    async with asking(app) as client:
        good = headers_of(role="admin", scope="a")
        bad = headers_of(role="user", scope="b")
        for path in ("/role", "/scope"):
            assert (await client.get(path, headers=good)).json() == "alice"
            assert (await client.get(path, headers=bad)).status_code == 403


async def test_override_with_a_model_needs_an_override_of_the_requirement(
    verifier: AccessTokenVerifier,
) -> None:
    auth = BetterAuth(verifier, user=Record)
    app = FastAPI()

    @app.get("/role")
    async def role(user: Annotated[Record, Depends(auth.require_role("admin"))]) -> str:
        return user.sub

    app.dependency_overrides[auth.user] = lambda: Record("bob")
    with pytest.raises(RuntimeError, match=r"auth\.require"):
        async with asking(app, raising=True) as client:
            await client.get("/role")
    app.dependency_overrides[auth.require_role("admin")] = lambda: Record("bob")
    async with asking(app) as client:
        assert (await client.get("/role")).json() == "bob"


async def test_model_that_forbids_other_claims_refuses_every_token(
    verifier: AccessTokenVerifier, headers_of: Mint
) -> None:
    auth = BetterAuth(verifier, user=Strict)
    app = FastAPI()

    @app.get("/me")
    async def me(user: Annotated[Strict, Depends(auth.user)]) -> str:
        return user.sub

    async with asking(app) as client:
        assert (await client.get("/me", headers=headers_of())).status_code == 401
