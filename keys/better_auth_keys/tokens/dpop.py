"""DPoP proofs: a signature by the key that a token is bound to, made for one request (RFC 9449).

The order of checks (section 4.3): one header field, form, header, claims, key, signature, nonce,
replay. The token is verified first, and the signature of a proof only if it is by the key that the
token names, so a client without a valid token causes no cryptography for proofs. Only proofs with a
valid signature are remembered.

NOT checked: that the client's TLS connection, address or device is the same as before.
"""

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256
from time import time
from typing import Final

from cachetools import LRUCache

from better_auth_keys.errors import (
    DpopNonceRequiredError,
    InvalidDpopProofError,
    InvalidTokenError,
    Reason,
)
from better_auth_keys.origins import origin_of
from better_auth_keys.tokens.compact import UnverifiedToken, parse_compact
from better_auth_keys.tokens.dpop_nonces import DpopNonces
from better_auth_keys.tokens.dpop_proof import DpopProof
from better_auth_keys.tokens.jwk import (
    ALGORITHMS,
    UnusableKeyError,
    VerificationKey,
    algorithm_set,
    canonical_algorithm,
    parse_jwk,
)
from better_auth_keys.tokens.policy import MAX_LEEWAY
from better_auth_keys.tokens.request_url import request_url
from better_auth_keys.tokens.used_proofs import ProofMemory, UsedProofs

MAX_PROOF_CHARACTERS: Final = 8192
MAX_JTI_LENGTH: Final = 512
_MAX_EXPONENT_CHARACTERS: Final = 6  # of base64url, for 32 bits. 65537 is AQAB
_KEYS_KEPT: Final = 1_000
"""Importing a key costs as much as verifying a signature."""


class DpopVerifier:
    """Verifies DPoP proofs. Share one between all requests, because it remembers used proofs.

    A proof is accepted once, until `max_age` seconds after it was made. `leeway` is by how many
    seconds the client's clock may differ. With `nonces`, a proof needs one of them. `base_url` is
    what clients write before the path of a request, such as `https://api.example.com`. Only
    `better_auth_keys.fastapi` needs it. Raises `ValueError` for a value out of range, an unknown
    algorithm, or a `base_url` that is not an http(s) URL.
    """

    def __init__(  # noqa: PLR0913 - each is a rule of its own, and has a default
        self,
        *,
        base_url: str | None = None,
        algorithms: str | Collection[str] = frozenset(ALGORITHMS),
        max_age: float = 60,
        leeway: float = 10,
        nonces: DpopNonces | None = None,
        used_proofs: ProofMemory | None = None,
        now: Callable[[], float] = time,
    ) -> None:
        if not max_age > 0:
            raise ValueError("the maximum age of a proof must be positive")
        if not 0 <= leeway <= MAX_LEEWAY:
            raise ValueError(f"leeway must be between 0 and {MAX_LEEWAY} seconds")
        if base_url is not None:
            origin_of(base_url)  # refuses anything but an http(s) URL without query and fragment
        self.base_url = None if base_url is None else base_url.rstrip("/")
        self._algorithms = algorithm_set(algorithms)
        self._max_age = max_age
        self._leeway = leeway
        self._nonces = nonces
        self._used = UsedProofs(now=now) if used_proofs is None else used_proofs
        self._now = now
        self._keys: LRUCache[bytes, VerificationKey] = LRUCache(_KEYS_KEPT)

    async def verify(self, token: str, bound_key: str | None, proof: DpopProof | None) -> None:
        """Check that a request may use a verified token, which is bound to `bound_key` or to none.

        `bound_key` is the key's thumbprint. Raises `InvalidDpopProofError` if the proof is invalid,
        `DpopNonceRequiredError` if it needs another nonce, `InvalidTokenError` if it is another
        key's or does not belong to the token, and `TooManyDpopProofsError` if it cannot be
        remembered.
        """
        check_scheme(bound_key, proof)
        if bound_key is None or proof is None:
            return
        unverified = _parsed(proof.headers)
        header, claims = unverified.unverified_header, unverified.unverified_claims
        algorithm = self._check_header(header)
        jti, issued_at = self._check_claims(claims, token, proof)
        key = self._key_of(unverified, algorithm)
        if key.thumbprint != bound_key:
            raise InvalidTokenError(Reason.PROOF_KEY_MISMATCH)
        if not key.verifies(unverified.signing_input, unverified.signature):
            raise InvalidDpopProofError(Reason.PROOF_SIGNATURE)
        if self._nonces is not None and not self._nonces.accepts(claims.get("nonce")):
            raise DpopNonceRequiredError(self._nonces.issue())
        expires_at = issued_at + self._max_age + self._leeway
        if not await self._used.add(bound_key, jti, expires_at):
            raise InvalidDpopProofError(Reason.PROOF_REPLAYED)

    @property
    def algorithms(self) -> list[str]:
        """The accepted algorithms, for `dpop_signing_alg_values_supported` (RFC 9728)."""
        # EdDSA has a second name since RFC 9864, and both are accepted.
        second = {"Ed25519"} if "EdDSA" in self._algorithms else set()
        return sorted(self._algorithms | second)

    def challenge(self, error: InvalidTokenError | None = None) -> str:
        """Return the value of `WWW-Authenticate` for a 401 (RFC 9449 section 7.1).

        Without an error it only says that DPoP is accepted. A `DpopNonceRequiredError` needs the
        header `DPoP-Nonce` as well.
        """
        algorithms = f'algs="{" ".join(self.algorithms)}"'
        return f"DPoP {algorithms}" if error is None else f'DPoP error="{error.code}", {algorithms}'

    def _check_header(self, unverified_header: Mapping[str, object]) -> str:
        """Return the algorithm of the proof."""
        if unverified_header.get("typ") != "dpop+jwt":
            raise InvalidDpopProofError(Reason.PROOF_TYPE)
        named = unverified_header.get("alg")
        algorithm = canonical_algorithm(named) if isinstance(named, str) else None
        if algorithm not in self._algorithms:
            raise InvalidDpopProofError(Reason.PROOF_ALGORITHM)
        # No extension is supported (see the header of access tokens).
        if "crit" in unverified_header or "b64" in unverified_header:
            raise InvalidDpopProofError(Reason.PROOF_MALFORMED)
        return algorithm

    def _check_claims(
        self, unverified_claims: dict[str, object], token: str, proof: DpopProof
    ) -> tuple[str, float]:
        """Return `jti` and `iat` of the proof, whose claims fit the token and the request."""
        claims = unverified_claims
        if claims.get("htm") != proof.method:
            raise InvalidDpopProofError(Reason.PROOF_METHOD)
        if not _same_url(claims.get("htu"), proof.url):
            raise InvalidDpopProofError(Reason.PROOF_URL)
        if claims.get("ath") != token_hash(token):
            raise InvalidDpopProofError(Reason.PROOF_HASH)
        issued_at = claims.get("iat")
        # A bool is an int to Python, and too old here.
        if not isinstance(issued_at, int | float):
            raise InvalidDpopProofError(Reason.PROOF_TIME)
        now = self._now()
        if not now - self._max_age - self._leeway < issued_at <= now + self._leeway:
            raise InvalidDpopProofError(Reason.PROOF_TIME)
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI_LENGTH:
            raise InvalidDpopProofError(Reason.PROOF_MALFORMED)
        return jti, issued_at

    def _key_of(self, unverified: UnverifiedToken, algorithm: str) -> VerificationKey:
        """Return the public key in the proof's header. A client's proofs have the same header."""
        header = unverified.signing_input.partition(b".")[0]
        key = self._keys.get(header)
        if key is None:
            key = _parsed_key(unverified.unverified_header.get("jwk"), algorithm)
            self._keys[header] = key
        return key


def check_scheme(bound_key: str | None, proof: DpopProof | None) -> None:
    """Raise `InvalidTokenError` unless a bound token, and no other, is sent with a proof.

    A Bearer request has no proof of the key (RFC 9449 section 7.2).
    """
    if bound_key is not None and proof is None:
        raise InvalidTokenError(Reason.KEY_BOUND)
    if bound_key is None and proof is not None:
        raise InvalidTokenError(Reason.NOT_KEY_BOUND)


def token_hash(token: str) -> str:
    """Return the claim `ath` of a proof for this token (RFC 9449 section 4.2)."""
    digest = sha256(token.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _parsed(headers: str | Sequence[str]) -> UnverifiedToken:
    values = (headers,) if isinstance(headers, str) else headers
    if len(values) != 1:
        raise InvalidDpopProofError(Reason.PROOF_COUNT)
    if len(values[0]) > MAX_PROOF_CHARACTERS:
        raise InvalidDpopProofError(Reason.PROOF_MALFORMED)
    try:
        return parse_compact(values[0])
    except InvalidTokenError:
        raise InvalidDpopProofError(Reason.PROOF_MALFORMED) from None


def _parsed_key(jwk: object, algorithm: str) -> VerificationKey:
    try:
        key = parse_jwk(jwk, algorithm)
    except UnusableKeyError:
        raise InvalidDpopProofError(Reason.PROOF_KEY) from None
    # The client chose the key, and verification takes longer with each bit of the exponent.
    exponent = jwk.get("e") if isinstance(jwk, dict) else None
    if isinstance(exponent, str) and len(exponent) > _MAX_EXPONENT_CHARACTERS:
        raise InvalidDpopProofError(Reason.PROOF_KEY)
    if key.algorithm != algorithm:  # the key may name another
        raise InvalidDpopProofError(Reason.PROOF_KEY)
    return key


def _same_url(unverified_url: object, url: str) -> bool:
    if not isinstance(unverified_url, str):
        return False
    try:
        return request_url(unverified_url) == request_url(url)
    except ValueError:
        return False
