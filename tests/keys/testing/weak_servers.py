"""A small ASGI server that passes every row of the check, and the same with one weakness each."""

import base64
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookies import SimpleCookie

import httpx
from starlette.types import Receive, Scope, Send

from better_auth_keys import (
    AccessTokenVerifier,
    InvalidTokenError,
    KeySetUnavailableError,
    Reason,
    RefreshPolicy,
    RemoteKeySet,
    Signer,
    StaticKeySet,
    TokenKind,
    VerificationKey,
    VerificationPolicy,
    parse_jwk,
)
from better_auth_keys.testing.check.catalogue import ROWS
from better_auth_keys.testing.check.played import PlayedIssuer
from better_auth_keys.testing.check.row import Result
from better_auth_keys.testing.check.runner import run_rows
from better_auth_keys.testing.check.stand import Options, Stand
from better_auth_keys.testing.check.target import Target

URL = "http://api.test/me"
METADATA = "/.well-known/oauth-protected-resource"
PROMPT = RefreshPolicy(cool_down=0.01, max_wait=0.5, unknown_memory=0.01)


@dataclass
class Server:
    """An ASGI application with one route. Its methods are what a weak server does otherwise."""

    issuer: PlayedIssuer

    def __post_init__(self) -> None:
        self.key_set = RemoteKeySet(self.issuer.jwks_url, policy=self.policy())
        self.verifier = self.verifier_for(self.issuer.origin)

    def policy(self) -> RefreshPolicy:
        return PROMPT

    def verifier_for(self, audience: str) -> AccessTokenVerifier:
        return AccessTokenVerifier(self.key_set, VerificationPolicy(self.issuer.origin, audience))

    def token_of(self, headers: list[tuple[bytes, bytes]]) -> str:
        values = [value.decode("latin-1") for name, value in headers if name == b"authorization"]
        scheme, _, token = "".join(values[:1]).partition(" ")
        if len(values) > 1:
            raise ValueError("two headers")
        return token if scheme.lower() == "bearer" else ""

    async def verify(self, token: str) -> None:
        await self.verifier.verify(token)

    def undecided(self) -> tuple[int, dict[str, str]]:
        return 503, {"Retry-After": "1"}

    def challenge(self, error: str | None) -> dict[str, str]:
        named = f'error="{error}", ' if error else ""
        return {"WWW-Authenticate": f'Bearer {named}resource_metadata="http://api.test{METADATA}"'}

    async def answer(self, scope: Scope) -> tuple[int, dict[str, str]]:
        if scope["path"] == METADATA:
            return 200, {}
        try:
            if b"access_token" in scope["query_string"]:
                raise ValueError("a token in the query")
            token = self.token_of(scope["headers"])
        except ValueError:
            return 400, self.challenge("invalid_request")
        if not token:
            return 401, self.challenge(None)
        try:
            await self.verify(token)
        except InvalidTokenError:
            return 401, self.challenge("invalid_token")
        except KeySetUnavailableError:
            return self.undecided()
        return 200, {}

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        status, headers = await self.answer(scope)
        body = json.dumps({"resource": "http://api.test"}).encode()
        pairs = {"Content-Length": str(len(body)), **headers}
        raw = [(name.lower().encode(), value.encode()) for name, value in pairs.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


class TakesOAuthTokensOfRsa(Server):
    """It is as strict as `Server`, for other tokens."""

    def verifier_for(self, audience: str) -> AccessTokenVerifier:
        policy = VerificationPolicy(
            self.issuer.origin, audience, algorithms=["RS256"], profile="rfc9068"
        )
        return AccessTokenVerifier(self.key_set, policy)


def part(token: str, number: int) -> dict[str, object]:
    """Return a part of a token without any check; nothing if it cannot be read."""
    try:
        text = token.split(".")[number]
        value = json.loads(base64.urlsafe_b64decode(text + "=="))
    except (ValueError, IndexError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


class TakesAlgNone(Server):
    async def verify(self, token: str) -> None:
        if part(token, 0).get("alg") != "none":
            await super().verify(token)


class IgnoresAudience(Server):
    async def verify(self, token: str) -> None:
        audience = part(token, 1).get("aud")
        known = isinstance(audience, str) and audience
        await self.verifier_for(str(audience) if known else self.issuer.origin).verify(token)


class IgnoresTime(Server):
    async def verify(self, token: str) -> None:
        expires = part(token, 1).get("exp")
        if isinstance(expires, int) and 0 < expires < 10_000_000_000:
            policy = VerificationPolicy(self.issuer.origin, self.issuer.origin)
            verifier = AccessTokenVerifier(self.key_set, policy, now=lambda: expires - 1)
            await verifier.verify(token)
            return
        await super().verify(token)


class Answers401InAnOutage(Server):
    def undecided(self) -> tuple[int, dict[str, str]]:
        return 401, self.challenge("invalid_token")


class NamesNoRetryAfter(Server):
    def undecided(self) -> tuple[int, dict[str, str]]:
        return 503, {}


class SendsNoChallenge(Server):
    def challenge(self, error: str | None) -> dict[str, str]:  # noqa: ARG002 - it is not sent
        return {}


class NamesTheErrorAlways(Server):
    def challenge(self, error: str | None) -> dict[str, str]:
        return super().challenge(error or "invalid_token")


class ReadsCookies(Server):
    def token_of(self, headers: list[tuple[bytes, bytes]]) -> str:
        for name, value in headers:
            if name == b"cookie":
                return SimpleCookie(value.decode())["access_token"].value
        return super().token_of(headers)


class TakesTheFirstOfTwoHeaders(Server):
    def token_of(self, headers: list[tuple[bytes, bytes]]) -> str:
        return super().token_of([pair for pair in headers if pair[0] == b"authorization"][:1])


class WantsTheSchemeAsWritten(Server):
    def token_of(self, headers: list[tuple[bytes, bytes]]) -> str:
        return super().token_of([pair for pair in headers if not pair[1].startswith(b"BEARER")])


class KeepsRemovedKeys(Server):
    """It remembers each token that it accepted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.accepted: set[str] = set()

    async def verify(self, token: str) -> None:
        if token not in self.accepted:
            await super().verify(token)
            self.accepted.add(token)


class RefusesAllAfterABadToken(Server):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.blocked = False

    async def verify(self, token: str) -> None:
        try:
            await super().verify(token)
        except InvalidTokenError:
            self.blocked = True
        if self.blocked:
            raise InvalidTokenError(Reason.MALFORMED)


class TakesAnySetAtOnce(Server):
    """For each unknown key it fetches the keys from anywhere, and replaces those it has."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.keys: dict[str, VerificationKey] = {}

    async def verify(self, token: str) -> None:
        if part(token, 0).get("kid") not in self.keys:
            async with httpx.AsyncClient(follow_redirects=True) as client:
                answer = await client.get(self.issuer.jwks_url)
            try:
                members = answer.json().get("keys") or []
            except ValueError:
                members = []
            found = (parse_jwk(member, {"EdDSA"}) for member in members)
            self.keys = {key.kid: key for key in found}
        policy = VerificationPolicy(self.issuer.origin, self.issuer.origin)
        await AccessTokenVerifier(StaticKeySet(self.keys.values()), policy).verify(token)


class NeverFetchesAgain(Server):
    def policy(self) -> RefreshPolicy:
        return RefreshPolicy(cool_down=3600, max_wait=0.01, unknown_memory=0.01)


@asynccontextmanager
async def stand_of(
    make: type[Server],
    algorithms: tuple[str, ...] = ("EdDSA", "RS256"),
    kind: TokenKind = "session",
    proof_url: str | None = None,
) -> AsyncIterator[Stand]:
    """Run a server with the issuer that the check plays."""
    issuer = PlayedIssuer(Signer.generate(algorithms[0]))
    async with issuer:
        issuer.name = issuer.origin
        server = make(issuer)
        options = Options(issuer.name, issuer.name, algorithms, kind, proof_url=proof_url)
        async with (
            server.verifier,
            httpx.AsyncClient(transport=httpx.ASGITransport(server)) as client,
        ):
            yield Stand(Target(URL, client), issuer, options, pause=PROMPT.max_wait, cool_down=0)


async def check(
    make: type[Server], names: Iterable[str] | None = None, *, proof_url: str | None = None
) -> list[Result]:
    """Run the rows with these names, by default all, on a server."""
    wanted = None if names is None else {"good-token", *names}
    rows = [row for row in ROWS if wanted is None or row.name in wanted]
    async with stand_of(make, proof_url=proof_url) as stand:
        return await run_rows(stand, rows)
