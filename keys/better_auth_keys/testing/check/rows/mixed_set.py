"""Keys that must not be used, and a token of each: a set may have them beside good keys."""

import hmac
from typing import Final

from better_auth_keys import Signer
from better_auth_keys.testing.check.forged import b64, segment
from better_auth_keys.testing.check.stand import Stand

_SECRET: Final = b"a secret that everybody can read"
_IDENTITY: Final = bytes([1, *bytes(31)])
"""The neutral point of Ed25519. Under it, one signature fits every message."""
BROKEN: Final[tuple[object, ...]] = (
    {"kty": "unheard-of", "kid": "exotic"},
    {"kty": "EC", "crv": "P-256", "kid": "no-point", "alg": "ES256"},
    {"kty": "RSA", "kid": "no-modulus", "alg": "RS256", "e": "AQAB"},
    {"kid": "no-kty"},
)
"""Members that are no usable keys."""


def unusable_keys(stand: Stand) -> tuple[list[object], dict[str, str]]:
    """Return well-formed keys that must not verify anything, and tokens signed with them."""
    encryption, signing = (Signer.generate(stand.options.algorithms[0]) for _ in range(2))
    keys: list[object] = [
        {**encryption.public_jwk(), "use": "enc"},
        {**signing.public_jwk(), "key_ops": ["sign"]},
        {"kty": "oct", "kid": "oct", "alg": "HS256", "k": b64(_SECRET)},
    ]
    hashed = _signing_input(stand, "HS256", "oct")
    tokens = {
        "use enc": stand.token(encryption),
        "key_ops without verify": stand.token(signing),
        "oct": f"{hashed}.{b64(hmac.digest(_SECRET, hashed.encode(), 'sha256'))}",
    }
    if "EdDSA" in stand.options.algorithms:
        keys.append({"kty": "OKP", "crv": "Ed25519", "x": b64(_IDENTITY), "kid": "small-order"})
        text = _signing_input(stand, "EdDSA", "small-order")
        tokens["small order"] = f"{text}.{b64(_IDENTITY + bytes(32))}"
    return keys, tokens


def _signing_input(stand: Stand, algorithm: str, kid: str) -> str:
    return f"{segment(stand.header(alg=algorithm, kid=kid))}.{segment(stand.claims())}"
