"""Sign tokens with a private key, for development, tests and key rotation.

The caller chooses the claims. The header has `alg` and `kid`, as Better Auth writes it.
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
        """Create a new key for `algorithm` (a JOSE name), with a random kid unless one is given.

        Raises `SigningKeyError` for an algorithm or a key size that `parse_jwk` would not accept.
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
        """Create a signer from a private JWK, as `private_jwk` returns it.

        Raises `SigningKeyError`. The message names the wrong member, but not its value.
        """
        kid, algorithm = jwk.get("kid"), jwk.get("alg")
        if not isinstance(kid, str) or not isinstance(algorithm, str):
            raise SigningKeyError("the signing key must have the members 'kid' and 'alg'")
        known = ALGORITHMS.get(canonical_algorithm(algorithm))
        if known is None or jwk.get("kty") != known.key_type:
            raise SigningKeyError("the 'alg' and 'kty' of the signing key do not match")
        members = {name: value for name, value in jwk.items() if isinstance(value, str)}
        try:
            key = _import_private(known.key_type, {**members})
        except (JoseError, ValueError, TypeError, KeyError):
            # Without the cause: libraries quote their input, which here is a private key.
            raise SigningKeyError("the signing key is malformed") from None
        if not key.is_private:
            raise SigningKeyError("the signing key is a public key")
        return cls(key, kid=kid, algorithm=known.name)

    def private_jwk(self) -> dict[str, str | list[str]]:
        """Return the private JWK. It is a secret: write it only to a file with mode 0600."""
        return {**self._key.as_dict(private=True), "kid": self.kid, "alg": self.algorithm}

    def public_jwk(self) -> dict[str, str | list[str]]:
        """Return the public JWK, as Better Auth publishes it."""
        return {**self._key.as_dict(private=False), "kid": self.kid, "alg": self.algorithm}

    def mint(
        self, claims: Mapping[str, object], *, header: Mapping[str, object] | None = None
    ) -> str:
        """Return a compact JWS with these claims. `header` adds to or replaces `alg` and `kid`."""
        payload = json.dumps(claims, separators=(",", ":")).encode()
        return self.sign(payload, header=header)

    def sign(self, payload: bytes, *, header: Mapping[str, object] | None = None) -> str:
        """Return a compact JWS with any payload, which need not be JSON."""
        protected = {"alg": self.algorithm, "kid": self.kid, **(header or {})}
        algorithm = ALGORITHMS[self.algorithm]
        registry = jws.JWSRegistry(
            algorithms=[algorithm.name, algorithm.implementation], strict_check_header=False
        )
        with warnings.catch_warnings():
            # joserfc warns about the name "EdDSA", which Better Auth and other libraries use.
            warnings.simplefilter("ignore", SecurityWarning)
            return jws.serialize_compact(protected, payload, self._key, registry=registry)


def _random_kid() -> str:
    """Return a kid like those of Better Auth, which is also safe on a command line."""
    return "".join(secrets.choice(_KID_CHARACTERS) for _ in range(32))


def _import_private(key_type: str, members: dict[str, str | list[str]]) -> OKPKey | ECKey | RSAKey:
    if key_type == "OKP":
        return OKPKey.import_key(members)
    if key_type == "EC":
        return ECKey.import_key(members)
    return RSAKey.import_key(members)
