"""The drills: a rotation, a change of algorithm, a changed secret, and a stolen key."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from sqlalchemy import text

from better_auth_keys import Signer
from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets
from scripts.proofs.rotation.people import Person, header_of
from scripts.proofs.rotation.system import ProofError, System
from service.database.command_connection import connect

LEARNING: Final = ("--learning-time", "2s", "--publish-ahead", "2s")
REVOKED_WITHIN_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.02
_PATIENCE_SECONDS: Final = 60.0


@dataclass
class Report:
    """What happened to the users during one drill."""

    drill: str
    seconds: float
    counts: Counter[str]
    measured: dict[str, float] = field(default_factory=dict)


@dataclass
class Drills:
    """Runs each drill under the load of the same users."""

    system: System
    people: Sequence[Person]
    keep_verifying: str
    wait_until_prunable: float
    """Seconds until a retired key is no longer needed; 0 prunes with --force."""
    say: Callable[[str], None]
    reports: list[Report] = field(default_factory=list)

    async def run(self) -> list[Report]:
        """Run all drills. Raises `ProofError`."""
        lives = [asyncio.create_task(person.live()) for person in self.people]
        try:
            await self._drill("rotation", self._rotation)
            await self._drill("change of algorithm", self._algorithm)
            await self._drill("change of the secret", self._secret)
            await self._drill("stolen key", self._stolen_key, refusals_allowed=True)
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)
        return self.reports

    async def _drill(
        self,
        name: str,
        work: Callable[[Report], Awaitable[None]],
        *,
        refusals_allowed: bool = False,
    ) -> None:
        self.say(name)
        for person in self.people:
            person.counts.clear()
        began = time.monotonic()
        report = Report(name, 0, Counter())
        await work(report)
        report.seconds = time.monotonic() - began
        for person in self.people:
            report.counts += person.counts
        self.reports.append(report)
        wrong = ("good tokens refused", "good tokens not decided", "requests failed")
        for kind, count in report.counts.items():
            if kind.startswith(wrong) and not (refusals_allowed and kind == "good tokens refused"):
                raise ProofError(f"{name}: {kind}: {count}")
        if report.counts["good tokens taken"] == 0:
            raise ProofError(f"{name}: no token was used")

    async def _rotation(self, _report: Report) -> None:
        old = await self._signing()
        new = await self._publish_and_activate()
        await self._all_use(new)
        await self._rotate("retire")
        await self._prune(old)
        await self._all_use(new)

    async def _algorithm(self, report: Report) -> None:
        old = await self._signing()
        self.system.issuer["SIGNING_ALGORITHM"] = "ES256,EdDSA"
        new = await self._publish_and_activate()
        # web/ still has the old setting, so it signs with the same key as before.
        await self._all_use(old)
        report.measured["restart of web/, s"] = await self._restart_web()
        await self._all_use(new)
        self.system.issuer["SIGNING_ALGORITHM"] = "ES256"
        await self._rotate("activate", "--replaces", "EdDSA", *LEARNING)
        await self._refreshed()
        if header_of(self.people[0].token)["alg"] != "ES256":
            raise ProofError("tokens are not signed with ES256")

    async def _secret(self, report: Report) -> None:
        issuer, fresh = self.system.issuer, secrets.token_urlsafe(32)
        # First both: the new secret encrypts, the old one still decrypts.
        issuer["BETTER_AUTH_SECRETS"] = f"2:{fresh}"
        report.measured["restart of web/, s"] = await self._restart_web()
        await self._refreshed()
        steps = (await self._rotate("reencrypt"))["steps"]
        if not steps:
            raise ProofError("nothing was re-encrypted")
        await self._refreshed()
        issuer["BETTER_AUTH_SECRET"] = ""
        await self._restart_web()
        await self._refreshed()

    async def _stolen_key(self, report: Report) -> None:
        stolen = await self._steal()
        forged = stolen.mint(self._claims())
        if set(await self._statuses(forged)) != {httpx.codes.OK}:
            raise ProofError("a token of the stolen key is refused before the key is revoked")
        for person in self.people:
            person.longest_logout = 0
        watch = asyncio.create_task(self._until_refused(forged))
        await self.system.rotate("revoke", stolen.kid, "--reason", "a drill", "--execute")
        done = time.monotonic()
        refused = await watch
        report.measured["refused everywhere after the command, s"] = max(0.0, refused - done)
        if refused - done > REVOKED_WITHIN_SECONDS:
            raise ProofError(f"the stolen key was accepted for {refused - done:.1f} s longer")
        await self._refreshed()
        out = max(person.longest_logout for person in self.people)
        report.measured["longest that a user was logged out, s"] = out

    async def _publish_and_activate(self) -> str:
        kid = str((await self._rotate("publish", *LEARNING))["steps"][0]["kid"])
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                status = await self.system.rotate("status", *LEARNING)
                (key,) = [key for key in status["keys"] if key["kid"] == kid]
                if key["served"] and len(key["known_by"]) == len(self.system.services):
                    break
                await asyncio.sleep(_POLL_SECONDS)
        await asyncio.sleep(2)  # publish-ahead, the shortest that the policy allows here
        await self._rotate("activate", *LEARNING)
        return kid

    async def _prune(self, kid: str) -> None:
        if self.wait_until_prunable:
            self.say(
                f"waiting {self.wait_until_prunable:.0f} s until the old key is no longer needed"
            )
            await asyncio.sleep(self.wait_until_prunable)
            await self._rotate("prune", kid)
        else:
            await self._rotate("prune", kid, "--force", "--reason", "every user has a new token")

    async def _rotate(self, *arguments: str) -> Any:
        return await self.system.rotate(
            *arguments, "--keep-verifying", self.keep_verifying, "--execute"
        )

    async def _signing(self) -> str:
        keys = (await self.system.rotate("status"))["keys"]
        (kid,) = [key["kid"] for key in keys if key["state"] == "active"]
        return str(kid)

    async def _restart_web(self) -> float:
        began = time.monotonic()
        await self.system.stop_web()
        await self.system.start_web()
        return time.monotonic() - began

    async def _all_use(self, kid: str) -> None:
        """Wait until every user has a token of the key, and has used it."""
        await self._refreshed(lambda person: header_of(person.token)["kid"] == kid)

    async def _refreshed(self, fits: Callable[[Person], bool] = lambda _: True) -> None:
        before = [person.counts["token refreshes"] for person in self.people]

        def have_refreshed() -> bool:
            return all(
                fits(person) and person.counts["token refreshes"] > count
                for person, count in zip(self.people, before, strict=True)
            )

        await _until(have_refreshed)
        wanted = self._taken() + 20
        await _until(lambda: self._taken() >= wanted)

    def _taken(self) -> int:
        return sum(person.counts["good tokens taken"] for person in self.people)

    async def _steal(self) -> Signer:
        """Return the private key that signs, read with the database and the secret."""
        kid = await self._signing()
        auth = self.system.urls.auth
        assert auth is not None  # noqa: S101 - the system has web/
        async with connect(auth) as connection:
            query = text("SELECT * FROM jwks WHERE id = :kid")
            row = (await connection.execute(query, {"kid": kid})).mappings().one()
        issuer = self.system.issuer
        opened = IssuerSecrets.parse(
            issuer.get("BETTER_AUTH_SECRET"), issuer.get("BETTER_AUTH_SECRETS")
        ).open(row["privateKey"])
        return Signer.from_jwk({**opened, "kid": kid, "alg": row["alg"]})

    def _claims(self) -> dict[str, object]:
        names = {"iss": self.system.web_origin, "aud": self.system.service_origin}
        now = int(time.time())
        return {**names, "sub": "mallory", "iat": now, "exp": now + 900}

    async def _statuses(self, token: str) -> list[int]:
        headers = {"Authorization": f"Bearer {token}"}
        client = self.people[0].service_client
        return [
            (await client.get(f"{service}/api/auth/me", headers=headers)).status_code
            for service in self.system.services
        ]

    async def _until_refused(self, token: str) -> float:
        """Use the token until every service refuses it, and return when that was asked."""
        while True:
            asked = time.monotonic()
            if set(await self._statuses(token)) == {httpx.codes.UNAUTHORIZED}:
                return asked
            await asyncio.sleep(_POLL_SECONDS)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - the condition is about counters, which send no event
            await asyncio.sleep(_POLL_SECONDS)
