"""A FastAPI app that accepts DPoP proofs, and the same with one weakness each."""

from dataclasses import replace
from typing import Annotated

from fastapi import Depends, FastAPI
from starlette.types import Message, Receive, Scope, Send

from better_auth_keys import (
    AccessTokenVerifier,
    DpopNonces,
    DpopProof,
    DpopVerifier,
    UsedProofs,
    VerificationPolicy,
    parse_jwk,
)
from better_auth_keys.fastapi import BetterAuth, User
from better_auth_keys.tokens.dpop import token_hash
from tests.keys.testing.weak_servers import URL, Server, part

BASE = URL.removesuffix("/me")


class TakesProofs(Server):
    """The library in a FastAPI app. Weak servers replace its `dpop`."""

    def dpop(self) -> DpopVerifier:
        return DpopVerifier(base_url=BASE)

    def verifier_for(self, audience: str) -> AccessTokenVerifier:
        policy = VerificationPolicy(self.issuer.origin, audience)
        return AccessTokenVerifier(self.key_set, policy, dpop=self.dpop())

    def __post_init__(self) -> None:
        super().__post_init__()
        auth = BetterAuth(self.verifier)
        self.app = FastAPI()
        self.app.include_router(auth.metadata_router(BASE))

        @self.app.get("/me")
        async def me(user: Annotated[User, Depends(auth.user)]) -> str:
            return user.id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class WantsNonces(TakesProofs):
    """It is as strict as `TakesProofs`, and stricter."""

    def dpop(self) -> DpopVerifier:
        return DpopVerifier(base_url=BASE, nonces=DpopNonces(b"s" * 32))


class Forgetful(UsedProofs):
    async def add(self, thumbprint: str, jti: str, expires_at: float) -> bool:
        await super().add(thumbprint, jti, expires_at)
        return True


class ForgetsProofs(TakesProofs):
    def dpop(self) -> DpopVerifier:
        return DpopVerifier(base_url=BASE, used_proofs=Forgetful())


class TakesOldProofs(TakesProofs):
    def dpop(self) -> DpopVerifier:
        return DpopVerifier(base_url=BASE, max_age=86_400)


class LaxVerifier(DpopVerifier):
    """It verifies what `changed` makes of the token, its key and the proof."""

    def changed(
        self, token: str, bound_key: str | None, proof: DpopProof
    ) -> tuple[str, str | None, DpopProof]:
        raise NotImplementedError

    async def verify(self, token: str, bound_key: str | None, proof: DpopProof | None) -> None:
        if proof is not None and proof.headers:
            token, bound_key, proof = self.changed(token, bound_key, proof)
        await super().verify(token, bound_key, proof)


class AnyRequest(LaxVerifier):
    def changed(
        self, token: str, bound_key: str | None, proof: DpopProof
    ) -> tuple[str, str | None, DpopProof]:
        named = part(proof.headers[0], 1)
        url = named.get("htu", proof.url)
        return token, bound_key, replace(proof, method=str(named.get("htm")), url=str(url))


class AnyToken(LaxVerifier):
    def changed(
        self, token: str, bound_key: str | None, proof: DpopProof
    ) -> tuple[str, str | None, DpopProof]:
        other = part(proof.headers[0], 1).get("ath") == token_hash("a.b.c")
        return "a.b.c" if other else token, bound_key, proof


class AnyKey(LaxVerifier):
    def changed(
        self, token: str, bound_key: str | None, proof: DpopProof
    ) -> tuple[str, str | None, DpopProof]:
        jwk = part(proof.headers[0], 0).get("jwk")
        if isinstance(jwk, dict) and jwk.keys() == {"kty", "crv", "x", "y"} and bound_key:
            bound_key = parse_jwk(jwk, "ES256").thumbprint
        return token, bound_key, proof


class FirstProof(LaxVerifier):
    def changed(
        self, token: str, bound_key: str | None, proof: DpopProof
    ) -> tuple[str, str | None, DpopProof]:
        return token, bound_key, replace(proof, headers=proof.headers[0])


class IgnoresTheRequest(TakesProofs):
    def dpop(self) -> DpopVerifier:
        return AnyRequest(base_url=BASE)


class IgnoresTheToken(TakesProofs):
    def dpop(self) -> DpopVerifier:
        return AnyToken(base_url=BASE)


class IgnoresTheKey(TakesProofs):
    def dpop(self) -> DpopVerifier:
        return AnyKey(base_url=BASE)


class TakesTheFirstProof(TakesProofs):
    def dpop(self) -> DpopVerifier:
        return FirstProof(base_url=BASE)


class TakesBoundTokensAsBearer(TakesProofs):
    """It does not verify such tokens at all."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        scheme, _, token = headers.get(b"authorization", b"").decode().partition(" ")
        if scheme.lower() == "bearer" and "cnf" in part(token, 1):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await super().__call__(scope, receive, send)


class NamesNoAlgorithms(TakesProofs):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def changed(message: Message) -> None:
            pairs = message.get("headers", [])
            message["headers"] = [(name, value.replace(b"algs=", b"x=")) for name, value in pairs]
            await send(message)

        await super().__call__(scope, receive, changed)
