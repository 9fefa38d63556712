"""Where the rows run: the server under test, the issuer that it trusts, and the options."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from better_auth_keys import Signer, TokenKind
from better_auth_keys.testing.check.played import PlayedIssuer
from better_auth_keys.testing.check.target import Answer, Target
from better_auth_keys.testing.claims import changed
from better_auth_keys.testing.replies import Reply

SUBJECT: Final = "check-resource-server"
_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True)
class Options:
    """How the server under test is configured."""

    issuer: str
    audience: str
    algorithms: tuple[str, ...] = ("EdDSA",)
    """The algorithms that it accepts. The first one signs."""
    kind: TokenKind = "session"
    scope: str | None = None
    """What the operation requires, if the server enforces scopes."""
    accepted: int = 200
    """The status of the answer to a good token."""
    proof_url: str | None = None
    """The URL of the operation in DPoP proofs, if the server accepts them."""


@dataclass(slots=True)
class Stand:
    """What a row needs."""

    target: Target
    issuer: PlayedIssuer
    options: Options
    pause: float = 1.1
    """Seconds between two attempts to make the server fetch: most limit that to once a second."""
    cool_down: float = 31
    """Seconds after which a server should fetch again. Many fetch at most once in 30 s."""
    signer: Signer = field(init=False)
    """The newest key that the server is known to accept. It signs good tokens."""

    def __post_init__(self) -> None:
        """Sign with the key of the issuer."""
        self.signer = self.issuer.signer

    def claims(self, **changes: object) -> dict[str, object]:
        """Return the claims of a good token with changes; `...` removes a claim."""
        claims = self.issuer.claims_of(SUBJECT, self.options.kind, time.time())
        names = {"iss": self.options.issuer, "aud": self.options.audience}
        scope = {} if self.options.scope is None else {"scope": self.options.scope}
        return changed(claims, {**names, **scope, **changes})

    def header(self, signer: Signer | None = None, /, **changes: object) -> dict[str, object]:
        """Return the header of a good token with changes; `...` removes a member."""
        signer = signer or self.signer
        typ = {"typ": "at+jwt"} if self.options.kind == "oauth" else {}
        good: dict[str, object] = {"alg": signer.algorithm, "kid": signer.kid, **typ}
        return changed(good, changes)

    def token(self, signer: Signer | None = None, /, **changes: object) -> str:
        """Sign a good token with changes of its claims."""
        signer = signer or self.signer
        return signer.mint(self.claims(**changes), header=self.header(signer))

    async def ask(self, token: str) -> Answer:
        """Send a token in the usual way."""
        return await self.target.get([("Authorization", f"Bearer {token}")])

    async def ask_patiently(self, token: str) -> Answer:
        """Send a token until the answer is not 503, a few times."""
        answer = await self.ask(token)
        for _ in range(_ATTEMPTS):
            if answer.status != 503:  # noqa: PLR2004 - the only status that asks to come back
                break
            await asyncio.sleep(self.pause)
            answer = await self.ask(token)
        return answer

    async def provoke_fetch(self) -> bool:
        """Make the server fetch the keys with tokens of unknown keys; return whether it did."""
        before = self.issuer.fetches
        for _ in range(_ATTEMPTS):
            await self.ask(self.token(Signer.generate()))
            if self.issuer.fetches > before:
                return True
            await asyncio.sleep(self.pause)
        return False

    async def rotate(self, others: Sequence[object] = ()) -> Answer:
        """Publish a new key beside the old ones, and return the answer to a token of it.

        If the server accepts that, the new key signs from now on. Otherwise it is withdrawn.
        `others` are published before the keys, as they are.
        """
        before = list(self.issuer.signers)
        new = self.issuer.rotate(self.options.algorithms[0])
        keys = [*others, *(signer.public_jwk() for signer in self.issuer.signers)]
        self.issuer.reply = Reply(body=json.dumps({"keys": keys}).encode())
        answer = await self.ask_patiently(self.token(new))
        if answer.status == self.options.accepted:
            self.signer = new
        else:
            self.issuer.publish(*before)
        return answer

    async def accepts_good_tokens(self) -> bool:
        """Return whether the server accepts a good token now."""
        return (await self.ask_patiently(self.token())).status == self.options.accepted
