"""Tokens that no issuer would sign: any header, any payload, any signature."""

import base64
import json
from collections.abc import Mapping

from joserfc.jwk import OctKey, import_key
from joserfc.jws import JWSRegistry

from better_auth_keys import ALGORITHMS, Signer


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def segment(value: Mapping[str, object] | bytes) -> str:
    """Return a part of a token: a JSON object, or any bytes."""
    return b64(value if isinstance(value, bytes) else json.dumps(value).encode())


def compact(
    signer: Signer,
    header: Mapping[str, object] | bytes,
    payload: Mapping[str, object] | bytes,
    algorithm: str | None = None,
) -> str:
    """Sign any header and payload with the key, whatever the header says.

    `algorithm` replaces that of the key.
    """
    signing_input = f"{segment(header)}.{segment(payload)}"
    name = algorithm or ALGORITHMS[signer.algorithm].implementation
    key = import_key({**signer.private_jwk()})
    signature = JWSRegistry.algorithms[name].sign(signing_input.encode(), key)
    return f"{signing_input}.{b64(signature)}"


def public_pem(signer: Signer) -> bytes:
    """Return the public key as a PEM document."""
    key = import_key({**signer.public_jwk()})
    if isinstance(key, OctKey):
        raise TypeError("a signer has no symmetric key")
    return key.as_pem(private=False)
