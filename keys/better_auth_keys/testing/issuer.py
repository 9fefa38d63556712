"""`Issuer`: a Better Auth in the process of a test. It signs tokens and publishes its keys."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Final

import httpx

from better_auth_keys import (
    BASE_PATH,
    AccessTokenVerifier,
    RemoteKeySet,
    Signer,
    TokenKind,
    VerificationPolicy,
    better_auth_jwks_url,
    better_auth_oauth_issuer,
    origin_of,
)
from better_auth_keys.testing.claims import (
    LIFETIME,
    changed,
    oauth_claims,
    session_claims,
)
from better_auth_keys.testing.replies import Gate, Reply, Request
from better_auth_keys.testing.transport import IssuerTransport

_EXPIRED_SECONDS: Final = 3600
"""More than any leeway that a policy allows."""


def jwks_of(signers: Iterable[Signer]) -> bytes:
    """Return the JWK set that publishes the keys of these signers."""
    return json.dumps({"keys": [signer.public_jwk() for signer in signers]}).encode()


class Issuer:
    """An issuer whose keys and availability a test controls.

    The newest of `signers` signs; all of them are published at `jwks_url`. A new issuer has one
    Ed25519 key. `base_path` is Better Auth's option `basePath`. `elsewhere` has replies for other
    paths, which are otherwise answered with 404. `requests` holds all requests. `now` is the clock
    of the tokens (Unix seconds).
    """

    def __init__(
        self,
        *signers: Signer,
        url: str = "https://app.example.com",
        base_path: str = BASE_PATH,
        audience: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.url = url.rstrip("/")
        self.base_path = base_path
        self.signers = list(signers) or [Signer.generate()]
        self.requests: list[Request] = []
        self.elsewhere: dict[str, Reply] = {}
        self._audience = audience
        self._now = now
        self._headers: Mapping[str, str] = {}
        self._reply: Reply | None = None
        self._delay = 0.0
        self._gate: Gate | None = None

    @property
    def origin(self) -> str:
        """The issuer of session tokens."""
        return origin_of(self.url)

    @property
    def oauth_issuer(self) -> str:
        """The issuer of OAuth access tokens."""
        return better_auth_oauth_issuer(self.url, self.base_path)

    @property
    def audience(self) -> str:
        """The audience of the tokens: the origin, unless another one was given."""
        return self._audience or self.origin

    @property
    def jwks_url(self) -> str:
        """Where the keys are published."""
        return better_auth_jwks_url(self.url, self.base_path)

    @property
    def signer(self) -> Signer:
        """The key that signs."""
        return self.signers[-1]

    def token(  # noqa: PLR0913 - each is a way in which tokens differ, all with a default
        self,
        sub: str = "alice",
        *,
        kind: TokenKind = "session",
        scope: str | None = None,
        expired: bool = False,
        signer: Signer | None = None,
        header: Mapping[str, object] | None = None,
        **claims: object,
    ) -> str:
        """Sign an access token for a user.

        `kind` is "session" for a token of the jwt plugin, or "oauth" for one of the oauth-provider
        plugin. `scope` is a list separated by spaces. `signer` replaces the key that signs, which
        need not be published. `header` and `claims` add or replace members; the claim `...` is
        removed.
        """
        now = self._now() - (_EXPIRED_SECONDS + LIFETIME if expired else 0)
        good = self.claims_of(sub, kind, now)
        if scope is not None:
            good["scope"] = scope
        protected = {**({"typ": "at+jwt"} if kind == "oauth" else {}), **(header or {})}
        return (signer or self.signer).mint(changed(good, claims), header=protected)

    def claims_of(self, sub: str, kind: TokenKind, now: float) -> dict[str, object]:
        """Return the claims of a user's token that is issued at `now`, in Unix seconds."""
        if kind == "oauth":
            return oauth_claims(self.oauth_issuer, self.audience, sub, now)
        return session_claims(self.origin, self.audience, sub, now)

    def publish(self, *signers: Signer, **headers: str) -> None:
        """Publish these keys and no others, available again, with these headers of the reply."""
        self.signers = list(signers)
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.up()

    def rotate(self, algorithm: str = "EdDSA", *, keep_old: bool = True) -> Signer:
        """Create a new key that signs from now on, and return it.

        The old keys stay published, unless `keep_old` is false.
        """
        new = Signer.generate(algorithm)
        self.signers = [*(self.signers if keep_old else ()), new]
        return new

    def down(self, status: int | None = None) -> None:
        """Be unavailable: close connections without a reply, or reply with a status such as 500."""
        self._reply = Reply(dropped=True) if status is None else Reply(status)

    def slow(self, seconds: float | None = None) -> None:
        """Reply this many seconds later or, without a number, not before `up` is called."""
        self._open_gate()
        self._delay = seconds or 0.0
        self._gate = Gate() if seconds is None else None

    def up(self) -> None:
        """Be available and prompt again."""
        self._reply = None
        self._delay = 0.0
        self._open_gate()

    @property
    def reply(self) -> Reply:
        """The reply to a request for the keys. Set it to send anything else."""
        if self._reply is not None:
            return self._reply
        return Reply(
            body=jwks_of(self.signers), headers=self._headers, delay=self._delay, gate=self._gate
        )

    @reply.setter
    def reply(self, reply: Reply) -> None:
        self._reply = reply

    async def answer(self, request: Request) -> Reply:
        """Return the reply to a request, as both transports send it."""
        self.requests.append(request)
        if f"{self.origin}{request.path}" == self.jwks_url:
            return self.reply
        return self.elsewhere.get(request.path, Reply(404, b"{}"))

    @cached_property
    def transport(self) -> httpx.AsyncBaseTransport:
        """A transport for `RemoteKeySet(url, transport=...)` that reaches this issuer only."""
        return IssuerTransport(self.answer)

    def verifier(self, policy: VerificationPolicy | None = None) -> AccessTokenVerifier:
        """Create a verifier that trusts this issuer, without a network. Start it as any other."""
        policy = policy or VerificationPolicy(self.origin, self.audience)
        key_set = RemoteKeySet(
            self.jwks_url, algorithms=policy.algorithms, transport=self.transport
        )
        return AccessTokenVerifier(key_set, policy)

    def _open_gate(self) -> None:
        if self._gate is not None:
            self._gate.open()
            self._gate = None
