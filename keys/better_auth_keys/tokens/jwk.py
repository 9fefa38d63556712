"""Parse one JWK of an issuer's set into a `VerificationKey`.

Each key is used with exactly one algorithm (RFC 8725 section 3.1): the one that it names or, if it
names none, the only configured algorithm that fits its type. The token has no influence on this.
Only public asymmetric keys are accepted; symmetric (`oct`) and private keys are left out.
"""

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from better_auth_keys.string_sets import string_set
from better_auth_keys.tokens.weak_keys import (
    has_roca_fingerprint,
    has_small_order,
    is_ed25519_point,
)

DEFAULT_ALGORITHMS: Final = frozenset({"EdDSA", "RS256"})
MAX_KID_LENGTH: Final = 255
MIN_RSA_BITS: Final = 2048  # RFC 7518 section 3.3
MAX_RSA_BITS: Final = (
    8192  # verification takes longer with each bit, and JWTs are not signed with more
)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A supported signature algorithm: its JOSE name and the type of its keys."""

    name: str
    key_type: str
    curve: str | None
    # Its name in joserfc, because EdDSA is now called Ed25519 (RFC 9864).
    implementation: str


ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("EdDSA", "OKP", "Ed25519", "Ed25519"),
        Algorithm("RS256", "RSA", None, "RS256"),
        Algorithm("PS256", "RSA", None, "PS256"),
        Algorithm("ES256", "EC", "P-256", "ES256"),
        Algorithm("ES512", "EC", "P-521", "ES512"),
    )
}

# The members of a public key (RFC 7518 section 6).
_PUBLIC_MEMBERS: Final = {"OKP": ("crv", "x"), "EC": ("crv", "x", "y"), "RSA": ("n", "e")}
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class UnusableKey(StrEnum):
    """Why a JWK was left out of a key set."""

    NOT_AN_OBJECT = "not_an_object"
    BAD_KEY_ID = "bad_key_id"
    DUPLICATE_KEY_ID = "duplicate_key_id"
    KEY_TYPE = "key_type"
    PRIVATE = "private"
    NOT_FOR_SIGNATURES = "not_for_signatures"
    ALGORITHM = "algorithm"
    AMBIGUOUS_ALGORITHM = "ambiguous_algorithm"
    MALFORMED = "malformed"
    WEAK = "weak"


class UnusableKeyError(Exception):
    """A JWK cannot be used to verify tokens, for this `reason`."""

    def __init__(self, reason: UnusableKey) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key bound to one algorithm.

    Two keys are equal if their kid, algorithm and RFC 7638 thumbprint are equal: fetched twice, a
    key equals itself, but not another key with the same kid.
    """

    kid: str
    algorithm: str
    thumbprint: str
    _key: Ed25519PublicKey | ECKey | RSAKey = field(compare=False, repr=False)

    def verifies(self, signing_input: bytes, signature: bytes) -> bool:
        """Return whether `signature` (decoded JWS bytes) is this key's for `signing_input`."""
        if isinstance(self._key, (ECKey, RSAKey)):
            implementation = JWSRegistry.algorithms[ALGORITHMS[self.algorithm].implementation]
            return implementation.verify(signing_input, signature, self._key)
        # The call that joserfc makes, without what it looks up for each signature.
        try:
            self._key.verify(signature, signing_input)
        except InvalidSignature:
            return False
        return True


def canonical_algorithm(name: str) -> str:
    """Return the name of an algorithm in this library: `EdDSA` for `Ed25519` (RFC 9864)."""
    return "EdDSA" if name == "Ed25519" else name


def algorithm_set(names: str | Collection[str]) -> frozenset[str]:
    """Return the names of algorithms as a set, with `EdDSA` for `Ed25519`.

    Raises `ValueError` for an empty set or an unknown algorithm, and `TypeError` for a value that
    is not a string or a collection of strings.
    """
    canonical = frozenset(map(canonical_algorithm, string_set(names, "algorithms")))
    if not canonical or not canonical <= ALGORITHMS.keys():
        raise ValueError(f"algorithms must be among {', '.join(ALGORITHMS)} (or Ed25519)")
    return canonical


def parse_jwk(jwk: object, algorithms: str | Collection[str]) -> VerificationKey:
    """Return the verification key for one member of a JWK set (RFC 7517 section 4).

    `algorithms` are the configured ones; they matter only if the key has no `alg`. If it has no
    `kid`, its RFC 7638 thumbprint is used.

    Raises `UnusableKeyError`.
    """
    if not isinstance(jwk, dict):
        raise UnusableKeyError(UnusableKey.NOT_AN_OBJECT)
    key_type = jwk.get("kty")
    if not isinstance(key_type, str) or key_type not in _PUBLIC_MEMBERS:
        raise UnusableKeyError(UnusableKey.KEY_TYPE)
    if not _PRIVATE_MEMBERS.isdisjoint(jwk):
        # A private key that is published is known to everybody: its signatures prove nothing.
        raise UnusableKeyError(UnusableKey.PRIVATE)
    _check_purpose(jwk)
    algorithm = _algorithm_of(jwk, key_type, algorithm_set(algorithms))
    key, thumbprint = _import_public(jwk, key_type, algorithm)
    kid = jwk.get("kid", thumbprint)
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_LENGTH:
        raise UnusableKeyError(UnusableKey.BAD_KEY_ID)
    return VerificationKey(kid, algorithm.name, thumbprint, key)


def _check_purpose(jwk: Mapping[str, object]) -> None:
    if jwk.get("use", "sig") != "sig":
        raise UnusableKeyError(UnusableKey.NOT_FOR_SIGNATURES)
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise UnusableKeyError(UnusableKey.NOT_FOR_SIGNATURES)


def _algorithm_of(
    jwk: Mapping[str, object], key_type: str, algorithms: frozenset[str]
) -> Algorithm:
    named = jwk.get("alg")
    if named is None:
        fitting = [
            algorithm
            for algorithm in ALGORITHMS.values()
            if algorithm.name in algorithms and _fits(algorithm, jwk, key_type)
        ]
        if len(fitting) > 1:
            raise UnusableKeyError(UnusableKey.AMBIGUOUS_ALGORITHM)
        if not fitting:
            raise UnusableKeyError(UnusableKey.ALGORITHM)
        return fitting[0]
    algorithm = ALGORITHMS.get(canonical_algorithm(named)) if isinstance(named, str) else None
    if algorithm is None or not _fits(algorithm, jwk, key_type):
        raise UnusableKeyError(UnusableKey.ALGORITHM)
    return algorithm


def _fits(algorithm: Algorithm, jwk: Mapping[str, object], key_type: str) -> bool:
    return algorithm.key_type == key_type and algorithm.curve == (
        None if key_type == "RSA" else jwk.get("crv")
    )


def _import_public(
    jwk: Mapping[str, object], key_type: str, algorithm: Algorithm
) -> tuple[Ed25519PublicKey | ECKey | RSAKey, str]:
    """Return the key as `VerificationKey` holds it, and its RFC 7638 thumbprint."""
    members: dict[str, str | list[str]] = {"kty": key_type}
    for name in _PUBLIC_MEMBERS[key_type]:
        value = jwk.get(name)
        if not isinstance(value, str):
            raise UnusableKeyError(UnusableKey.MALFORMED)
        members[name] = value
    try:
        with warnings.catch_warnings():
            # joserfc warns about short RSA keys; they are refused below.
            warnings.simplefilter("ignore", SecurityWarning)
            if algorithm.key_type == "OKP":
                okp_key = OKPKey.import_key(members)
                return _checked_ed25519(okp_key), okp_key.thumbprint()
            if algorithm.key_type == "EC":
                ec_key = ECKey.import_key(members)  # checks that the point is on its curve
                return ec_key, ec_key.thumbprint()
            rsa_key = _checked_rsa(RSAKey.import_key(members))
            return rsa_key, rsa_key.thumbprint()
    except (JoseError, ValueError, TypeError, OverflowError, UnsupportedAlgorithm) as error:
        raise UnusableKeyError(UnusableKey.MALFORMED) from error


def _checked_ed25519(key: OKPKey) -> Ed25519PublicKey:
    """Return the Ed25519 key; raise unless it is a point of large order (RFC 8032)."""
    public = key.public_key
    if not isinstance(public, Ed25519PublicKey):
        raise UnusableKeyError(UnusableKey.MALFORMED)
    point = public.public_bytes_raw()
    if not is_ed25519_point(point):
        raise UnusableKeyError(UnusableKey.MALFORMED)
    if has_small_order(point):
        raise UnusableKeyError(UnusableKey.WEAK)
    return public


def _checked_rsa(key: RSAKey) -> RSAKey:
    """Return the RSA key; raise unless its size, modulus and exponent are good."""
    public = key.public_key
    if not isinstance(public, RSAPublicKey):
        raise UnusableKeyError(UnusableKey.MALFORMED)
    numbers = public.public_numbers()
    if not MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS:
        raise UnusableKeyError(UnusableKey.WEAK)
    if numbers.n % 2 == 0 or numbers.e < 3 or numbers.e % 2 == 0:  # noqa: PLR2004 - RFC 8017 3.1
        raise UnusableKeyError(UnusableKey.MALFORMED)
    if has_roca_fingerprint(numbers.n):
        raise UnusableKeyError(UnusableKey.WEAK)
    return key
