"""Rows about DPoP proofs (RFC 9449), for servers that accept them."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from better_auth_keys import Signer, parse_jwk
from better_auth_keys.testing.check.forged import b64, compact
from better_auth_keys.testing.check.row import Outcome, Row, not_applicable
from better_auth_keys.testing.check.rows.requests import challenge_of
from better_auth_keys.testing.check.stand import Stand
from better_auth_keys.testing.check.target import Answer
from better_auth_keys.testing.claims import changed
from better_auth_keys.tokens.dpop import token_hash

_UNAUTHORIZED: Final = 401
_REFUSED: Final = frozenset({400, 401})
_HOUR: Final = 3600
_ALGORITHM: Final = "ES256"  # the most common one for proofs
Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Attempt:
    """A request with a bound token and a good proof, but for these changes.

    `...` removes a claim of the proof or a member of its header.
    """

    claims: Mapping[str, object] = field(default_factory=dict)
    header: Mapping[str, object] = field(default_factory=dict)
    proofs: int = 1
    """How many header fields have the proof."""
    scheme: str = "DPoP"
    bound: bool = True
    other_key: bool = False
    """Whether another key than the token's signs the proof."""
    forged: bool = False
    """Whether the proof has the signature of another one."""


class Client:
    """A client with a key of its own, and a token that is bound to it."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._key = Signer.generate(_ALGORITHM)
        thumbprint = parse_jwk(self._key.public_jwk(), _ALGORITHM).thumbprint
        self._bound = stand.token(cnf={"jkt": thumbprint})
        self._nonce: str | None = None
        self._count = 0

    async def ask(self, attempt: Attempt) -> tuple[Answer, Headers]:
        """Send a request and return the answer, with the headers that were sent.

        A server that requires a nonce gets the request again, with the nonce.
        """
        headers = self._headers(attempt)
        answer = await self._stand.target.get(headers)
        nonce = answer.headers.get("dpop-nonce")
        if answer.status == _UNAUTHORIZED and nonce not in (None, self._nonce):
            self._nonce = nonce
            headers = self._headers(attempt)
            answer = await self._stand.target.get(headers)
        return answer, headers

    async def is_accepted(self) -> bool:
        """Return whether a good proof is accepted now."""
        answer, _ = await self.ask(Attempt())
        return answer.status == self._stand.options.accepted

    def _headers(self, attempt: Attempt) -> Headers:
        token = self._bound if attempt.bound else self._stand.token()
        proof = self._proof(attempt, token)
        if attempt.forged:
            other = self._proof(attempt, token)
            proof = f"{proof.rpartition('.')[0]}.{other.rpartition('.')[2]}"
        sent = [("Authorization", f"{attempt.scheme} {token}")]
        return sent + [("DPoP", proof)] * attempt.proofs

    def _proof(self, attempt: Attempt, token: str) -> str:
        self._count += 1
        key = Signer.generate(_ALGORITHM) if attempt.other_key else self._key
        public = {name: key.public_jwk()[name] for name in ("kty", "crv", "x", "y")}
        header: dict[str, object] = {"typ": "dpop+jwt", "alg": _ALGORITHM, "jwk": public}
        claims: dict[str, object] = {
            "jti": f"{b64(token[-12:].encode())}-{self._count}",
            "htm": "GET",
            "htu": self._stand.options.proof_url,
            "iat": int(time.time()),
            "ath": token_hash(token),
            "nonce": ... if self._nonce is None else self._nonce,
        }
        return compact(
            key, changed(header, {**attempt.header}), changed(claims, {**attempt.claims})
        )


def _with_proofs(
    check: Callable[[Stand, Client], Awaitable[Outcome]],
) -> Callable[[Stand], Awaitable[Outcome]]:
    async def checked(stand: Stand) -> Outcome:
        if stand.options.proof_url is None:
            return not_applicable("only with --dpop")
        return await check(stand, Client(stand))

    return checked


def _refused(
    name: str, source: str, what: str, attempts: Callable[[Stand], Mapping[str, Attempt]]
) -> Row:
    """Create a row: each attempt is refused, and a good proof is accepted after them."""

    async def check(stand: Stand, client: Client) -> Outcome:
        wrong = []
        cases = attempts(stand)
        for case, attempt in cases.items():
            answer, _ = await client.ask(attempt)
            if answer.status not in _REFUSED - {stand.options.accepted}:
                wrong.append(f"{case}: {answer}")
        if not await client.is_accepted():
            wrong.append("a good proof after them was refused as well")
        return Outcome.of(not wrong, "; ".join(wrong) or f"{len(cases)} of {len(cases)} refused")

    return Row(name, source, f"400 or 401 for {what}", _with_proofs(check))


async def _accepted(stand: Stand, client: Client) -> Outcome:
    answers = [(await client.ask(Attempt(scheme=scheme)))[0] for scheme in ("DPoP", "dpop")]
    good = all(answer.status == stand.options.accepted for answer in answers)
    return Outcome.of(good, ", ".join(map(str, answers)))


async def _replayed(stand: Stand, client: Client) -> Outcome:
    first, headers = await client.ask(Attempt())
    second = await stand.target.get(headers)
    good = first.status == stand.options.accepted and second.status == _UNAUTHORIZED
    return Outcome.of(good, f"{first}, then {second}")


async def _challenge(_stand: Stand, client: Client) -> Outcome:
    answer, _ = await client.ask(Attempt(claims={"htm": "POST"}))
    challenge = challenge_of(answer, "DPoP") or {}
    error, algorithms = challenge.get("error"), challenge.get("algs", "").split()
    good = answer.status == _UNAUTHORIZED and error == "invalid_dpop_proof"
    return Outcome.of(good and _ALGORITHM in algorithms, f"{answer}, {challenge}")


def _other_requests(stand: Stand) -> Mapping[str, Attempt]:
    url = stand.options.proof_url or ""
    return {
        "another method": Attempt({"htm": "POST"}),
        "another path": Attempt({"htu": f"{url}/other"}),
        "another host": Attempt({"htu": "https://evil.example.com/me"}),
        "no method": Attempt({"htm": ...}),
        "no URL": Attempt({"htu": ...}),
    }


def _other_tokens(_: Stand) -> Mapping[str, Attempt]:
    return {
        "no hash": Attempt({"ath": ...}),
        "hash of another token": Attempt({"ath": token_hash("a.b.c")}),
    }


def _times(_: Stand) -> Mapping[str, Attempt]:
    now = int(time.time())
    return {
        "missing": Attempt({"iat": ...}),
        "an hour ago": Attempt({"iat": now - _HOUR}),
        "in an hour": Attempt({"iat": now + _HOUR}),
        "a text": Attempt({"iat": "now"}),
    }


def _other_keys(_: Stand) -> Mapping[str, Attempt]:
    private = Signer.generate(_ALGORITHM).private_jwk()
    return {
        "another key": Attempt(other_key=True),
        "no key": Attempt(header={"jwk": ...}),
        "a private key": Attempt(header={"jwk": private}),
        "a symmetric key": Attempt(header={"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}}),
        "another proof's signature": Attempt(forged=True),
    }


def _forms(_: Stand) -> Mapping[str, Attempt]:
    return {
        "no proof": Attempt(proofs=0),
        "two proofs": Attempt(proofs=2),
        "typ JWT": Attempt(header={"typ": "JWT"}),
        "no typ": Attempt(header={"typ": ...}),
        "alg none": Attempt(header={"alg": "none"}),
        "no jti": Attempt({"jti": ...}),
    }


def _schemes(_: Stand) -> Mapping[str, Attempt]:
    return {
        "a bound token as Bearer": Attempt(scheme="Bearer"),
        "a token that is not bound": Attempt(bound=False),
    }


ROWS: Final[Sequence[Row]] = (
    Row("dpop", "63", "accepted: a bound token with its proof", _with_proofs(_accepted)),
    Row("dpop-replay", "61", "401 for a proof that was used", _with_proofs(_replayed)),
    _refused("dpop-request", "58", "a proof for another request", _other_requests),
    _refused("dpop-token", "59", "a proof for another token", _other_tokens),
    _refused("dpop-time", "60", "a proof of another time", _times),
    _refused("dpop-key", "57", "a proof by another key", _other_keys),
    _refused("dpop-form", "56", "a proof that is malformed, missing or sent twice", _forms),
    _refused("dpop-scheme", "32, 63", "a scheme that does not fit the token", _schemes),
    Row(
        "dpop-challenge",
        "64",
        '401 with a DPoP challenge: error="invalid_dpop_proof" and algs',
        _with_proofs(_challenge),
    ),
)
