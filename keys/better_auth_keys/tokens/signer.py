"""Mint tokens with a private key: for development, tests and load; no service needs it.

What is signed is up to the caller. The header is `alg` and `kid`, as Better Auth writes it.
"""

import json
import secrets
import string
import warnings
from collections.abc import Mapping
from typing import Final, Self

from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

from better_auth_keys.errors import SigningKeyError
from better_auth_keys.tokens.jwk import ALGORITHMS, MAX_RSA_BITS, MIN_RSA_BITS, canonical_algorithm

_KID_CHARACTERS: Final = string.ascii_letters + string.digits


class Signer:
    """A private key with its kid and its one algorithm."""

    def __init__(self, key: OKPKey | ECKey | RSAKey, *, kid: str, algorithm: str) -> None:
        self._key = key
        self.kid = kid
        self.algorithm = algorithm

    def __repr__(self) -> str:
        return f"Signer(kid={self.kid!r}, algorithm={self.algorithm!r})"

    @classmethod
    def generate(
        cls, algorithm: str = "EdDSA", *, kid: str | None = None, rsa_bits: int = MIN_RSA_BITS
    ) -> Self:
        """Make a new key for `algorithm` (a JOSE name); `kid` is random where none is given.

        Raises `SigningKeyError` for an algorithm or a size that we would not verify either.
        """
        known = ALGORITHMS.get(canonical_algorithm(algorithm))
        if known is None:
            raise SigningKeyError(
                f"unknown algorithm {algorithm!r}; known: {', '.join(ALGORITHMS)}"
            )
        key: OKPKey | ECKey | RSAKey
        if known.key_type == "RSA":
            if not MIN_RSA_BITS <= rsa_bits <= MAX_RSA_BITS:
                raise SigningKeyError(f"an RSA key has {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
            key = RSAKey.generate_key(rsa_bits)
        elif known.key_type == "EC":
            key = ECKey.generate_key("P-256" if known.curve == "P-256" else "P-521")
        else:
            key = OKPKey.generate_key("Ed25519")
        return cls(key, kid=kid or _random_kid(), algorithm=known.name)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> Self:
        """Take up a private JWK as `private_jwk` writes it.

        Raises `SigningKeyError`; its message names the member that is wrong, never its value.
        """
        kid, algorithm = jwk.get("kid"), jwk.get("alg")
        if not isinstance(kid, str) or not isinstance(algorithm, str):
            raise SigningKeyError("the signing key needs the members 'kid' and 'alg'")
        known = ALGORITHMS.get(canonical_algorithm(algorithm))
        if known is None or jwk.get("kty") != known.key_type:
            raise SigningKeyError("the signing key's 'alg' and 'kty' do not go together")
        members = {name: value for name, value in jwk.items() if isinstance(value, str)}
        try:
            key = _import_private(known.key_type, {**members})
        except (JoseError, ValueError, TypeError, KeyError):
            # The cause is dropped: libraries quote their input, and this input is a private key.
            raise SigningKeyError("the signing key is malformed") from None
        if not key.is_private:
            raise SigningKeyError("the signing key is a public key")
        return cls(key, kid=kid, algorithm=known.name)

    def private_jwk(self) -> dict[str, str | list[str]]:
        """Give the private JWK. It is a secret: write it to a file of mode 0600 only."""
        return {**self._key.as_dict(private=True), "kid": self.kid, "alg": self.algorithm}

    def public_jwk(self) -> dict[str, str | list[str]]:
        """Give the public JWK, in the shape in which Better Auth publishes its keys."""
        return {**self._key.as_dict(private=False), "kid": self.kid, "alg": self.algorithm}

    def mint(
        self, claims: Mapping[str, object], *, header: Mapping[str, object] | None = None
    ) -> str:
        """Sign `claims` into a compact JWS; `header` adds to or replaces `alg` and `kid`."""
        payload = json.dumps(claims, separators=(",", ":")).encode()
        return self.sign(payload, header=header)

    def sign(self, payload: bytes, *, header: Mapping[str, object] | None = None) -> str:
        """Sign any bytes: tests make tokens with it whose payload is not even JSON."""
        protected = {"alg": self.algorithm, "kid": self.kid, **(header or {})}
        algorithm = ALGORITHMS[self.algorithm]
        registry = jws.JWSRegistry(
            algorithms=[algorithm.name, algorithm.implementation], strict_check_header=False
        )
        with warnings.catch_warnings():
            # Better Auth and every verifier in the field still say "EdDSA"; joserfc warns of it.
            warnings.simplefilter("ignore", SecurityWarning)
            return jws.serialize_compact(protected, payload, self._key, registry=registry)


def _random_kid() -> str:
    """Make a kid like Better Auth's: it can stand on a command line, too."""
    return "".join(secrets.choice(_KID_CHARACTERS) for _ in range(32))


def _import_private(key_type: str, members: dict[str, str | list[str]]) -> OKPKey | ECKey | RSAKey:
    if key_type == "OKP":
        return OKPKey.import_key(members)
    if key_type == "EC":
        return ECKey.import_key(members)
    return RSAKey.import_key(members)
