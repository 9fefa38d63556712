"""The end-to-end story with one version of Better Auth, each step with what it proves."""

import asyncio
import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from better_auth_keys import (
    AccessTokenVerifier,
    InvalidTokenError,
    KeysError,
    Reason,
    Signer,
)
from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets
from better_auth_keys.rotation.better_auth.store import BetterAuthSigningKeys, DatabaseAddress
from scripts.devstack.network import free_ports, has_a_key, until_answer
from scripts.devstack.parts import Program, ProgramPart
from scripts.setup.node_runtime import NodeRuntime
from service.database.url import DatabaseUrl

TOKEN: Final = "token accepted"  # noqa: S105 - the name of a step
FORGERY: Final = "forged token refused"
PUBLISHED: Final = "published key served, not used"
ACTIVATED: Final = "activated key signs, old token accepted"
STEPS: Final = (TOKEN, FORGERY, PUBLISHED, ACTIVATED)
ROTATES_SINCE: Final = (1, 7)
"""Before, Better Auth's table of keys has no column for the algorithm, so rotation is refused."""
_SECRET: Final = "only-for-this-proof-on-this-machine-0123456789"  # noqa: S105 - of a temporary database
_START_SECONDS: Final = 60.0
_STORY_SECONDS: Final = 60.0


class StoryError(Exception):
    """A step did not go as promised. The message is one line."""


@dataclass
class Outcome:
    """What was seen with one version: the steps that worked, and why the next one did not."""

    version: str
    done: list[str] = field(default_factory=list)
    failure: str | None = None

    @property
    def promised(self) -> tuple[str, ...]:
        """The steps that must work with this version."""
        major, minor, _ = (int(part) for part in self.version.split("."))
        return STEPS if (major, minor) >= ROTATES_SINCE else (TOKEN, FORGERY)

    @property
    def kept(self) -> bool:
        """Whether every promised step worked."""
        return set(self.promised) <= set(self.done)


@dataclass(frozen=True)
class Issuer:
    """A running Better Auth."""

    origin: str
    client: httpx.AsyncClient

    async def sign_up(self) -> str:
        """Create an account, and return the session's bearer token."""
        account = {"name": "Ada", "email": "ada@example.com", "password": "correct horse battery"}
        answer = await self.client.post("/api/auth/sign-up/email", json=account)
        session = answer.headers.get("set-auth-token")
        if answer.status_code != httpx.codes.OK or session is None:
            raise StoryError(f"sign-up answered {answer.status_code}")
        return str(session)

    async def token(self, session: str) -> str:
        """Return a new JWT of the session."""
        answer = await self.client.get(
            "/api/auth/token", headers={"Authorization": f"Bearer {session}"}
        )
        if answer.status_code != httpx.codes.OK:
            raise StoryError(f"GET /api/auth/token answered {answer.status_code}")
        return str(answer.json()["token"])

    async def kids(self) -> set[str]:
        """Return the kids of the keys that are served."""
        return {str(key["kid"]) for key in (await self.client.get("/api/auth/jwks")).json()["keys"]}


async def run_story(outcome: Outcome, program: Path, node: NodeRuntime, url: DatabaseUrl) -> None:
    """Run the story, and add to `outcome` what was seen. `url` is an empty database, as `auth`."""
    try:
        async with _running(program, node, url) as issuer, asyncio.timeout(_STORY_SECONDS):
            await _prove(outcome, issuer, url)
    except TimeoutError:
        outcome.failure = "no answer in time"
    except (StoryError, KeysError, httpx.HTTPError, KeyError, ValueError) as error:
        outcome.failure = f"{type(error).__name__}: {error}".splitlines()[0]


async def _prove(outcome: Outcome, issuer: Issuer, url: DatabaseUrl) -> None:
    store = BetterAuthSigningKeys(
        DatabaseAddress(url.dsn, url.ssl_argument()),
        secrets=IssuerSecrets(_SECRET),
        algorithm="EdDSA",
        operator="proof",
    )
    async with AccessTokenVerifier.for_better_auth(issuer.origin) as verifier:
        session = await issuer.sign_up()
        old = await issuer.token(session)
        first = await verifier.verify(old)
        outcome.done.append(TOKEN)

        await _must_refuse(verifier, Signer.generate(kid=first.key_id).mint(_claims_of(old)))
        outcome.done.append(FORGERY)

        standby = Signer.generate()
        async with store.changing("proof") as keys:
            await keys.publish(standby)
        if await issuer.kids() != {first.key_id, standby.kid}:
            raise StoryError("the published key is not served beside the first one")
        if (await verifier.verify(await issuer.token(session))).key_id != first.key_id:
            raise StoryError("a key that was only published signs already")
        outcome.done.append(PUBLISHED)

        async with store.changing("proof") as keys:
            await keys.activate(standby.kid)
        if (await verifier.verify(await issuer.token(session))).key_id != standby.kid:
            raise StoryError("the activated key does not sign")
        await verifier.verify(old)
        outcome.done.append(ACTIVATED)


async def _must_refuse(verifier: AccessTokenVerifier, token: str) -> None:
    try:
        await verifier.verify(token)
    except InvalidTokenError as error:
        if error.reason is not Reason.BAD_SIGNATURE:
            raise StoryError(f"the forged token was refused for {error.reason}") from None
        return
    raise StoryError("a forged token was accepted")


def _claims_of(token: str) -> Mapping[str, object]:
    payload = token.split(".")[1]
    claims: Mapping[str, object] = json.loads(urlsafe_b64decode(payload + "=="))
    return claims


@asynccontextmanager
async def _running(program: Path, node: NodeRuntime, url: DatabaseUrl) -> AsyncIterator[Issuer]:
    (port,) = free_ports(1)
    origin = f"http://localhost:{port}"
    settings = {
        "BETTER_AUTH_URL": origin,
        "BETTER_AUTH_SECRET": _SECRET,
        "DATABASE_URL": url.setting,
    }
    log = program.with_name("issuer.log")
    part = ProgramPart(
        Program(
            "issuer",
            [str(node.node), str(program)],
            program.parent,
            node.environment(settings),
            log,
        )
    )
    await part.start()
    try:
        await _answers(f"{origin}/api/auth/jwks", part)
        async with httpx.AsyncClient(base_url=origin, trust_env=False, timeout=30) as client:
            yield Issuer(origin, client)
    finally:
        await part.stop()


async def _answers(url: str, part: ProgramPart) -> None:
    """Wait until the issuer serves a key. Raises `StoryError` if it ends instead."""
    answer = asyncio.ensure_future(until_answer(url, has_a_key))
    end = asyncio.ensure_future(part.wait())
    async with asyncio.timeout(_START_SECONDS):
        await asyncio.wait({answer, end}, return_when=asyncio.FIRST_COMPLETED)
    if not answer.done():
        answer.cancel()
        raise StoryError(f"Better Auth {end.result()}: {part.last_words}")
    end.cancel()
    answer.result()
