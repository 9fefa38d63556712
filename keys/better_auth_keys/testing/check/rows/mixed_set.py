"""A set that has one good key among many that must not be used, and tokens signed with those."""

import hmac
import json
from dataclasses import dataclass
from typing import Final, Self

from better_auth_keys import Signer
from better_auth_keys.testing.check.forged import b64, segment
from better_auth_keys.testing.check.stand import Stand

_SECRET: Final = b"a secret that everybody can read"
_IDENTITY: Final = bytes([1, *bytes(31)])
"""The neutral point of Ed25519. Under it, one signature fits every message."""


@dataclass(frozen=True, slots=True)
class MixedSet:
    """The document, and a token for each key that must not be used."""

    document: bytes
    tokens: dict[str, str]

    @classmethod
    def after_rotation(cls, stand: Stand) -> Self:
        """Create a new key that signs good tokens, and publish it among unusable ones."""
        options, issuer = stand.options, stand.issuer
        issuer.rotate(options.algorithms[0])
        encryption, signing_only = (Signer.generate(options.algorithms[0]) for _ in range(2))
        keys: list[object] = [
            {**encryption.public_jwk(), "use": "enc"},
            {**signing_only.public_jwk(), "key_ops": ["sign"]},
            {"kty": "oct", "kid": "oct", "alg": "HS256", "k": b64(_SECRET)},
            {"kty": "unheard-of", "kid": "exotic"},
            {"kty": "EC", "crv": "P-256", "kid": "no-point", "alg": "ES256"},
            {"kid": "no-kty"},
            "not an object",
        ]
        text = f"{segment(stand.header(alg='HS256', kid='oct'))}.{segment(stand.claims())}"
        tokens = {
            "use enc": stand.token(encryption),
            "key_ops without verify": stand.token(signing_only),
            "oct": f"{text}.{b64(hmac.digest(_SECRET, text.encode(), 'sha256'))}",
        }
        if "EdDSA" in options.algorithms:
            keys.append({"kty": "OKP", "crv": "Ed25519", "x": b64(_IDENTITY), "kid": "small-order"})
            text = (
                f"{segment(stand.header(alg='EdDSA', kid='small-order'))}.{segment(stand.claims())}"
            )
            tokens["small order"] = f"{text}.{b64(_IDENTITY + bytes(32))}"
        keys.extend(signer.public_jwk() for signer in issuer.signers)
        return cls(json.dumps({"keys": keys}).encode(), tokens)
