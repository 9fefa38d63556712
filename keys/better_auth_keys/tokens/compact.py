"""Parse a compact JWS, with limits, before any cryptography (RFC 7515 section 7.1).

Everything here is unverified, and named so. It must not leave the library before the signature has
been verified.
"""

from binascii import Error, a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from better_auth_keys.errors import InvalidTokenError, Reason
from better_auth_keys.strict_json import StrictDecoder

MAX_HEADER_CHARACTERS: Final = 2048
MAX_SIGNATURE_CHARACTERS: Final = 1400  # 8192 bits of RSA are 1366 characters
MAX_JSON_DEPTH: Final = 16

_HEADERS_KEPT: Final = 32

# base64url as the standard alphabet that `binascii` reads. The characters that only the standard
# alphabet has, and padding, become one that no alphabet has.
_TO_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
# The spare bits of the last character are zero in its one canonical form. Otherwise an Ed25519
# signature could be written in 15 other ways. By the length modulo 4: what may come last, if it
# matters, and the padding.
_LAST: Final = (None, b"", b"AQgw", b"AEIMQUYcgkosw048")
_PADDING: Final = (b"", b"", b"==", b"=")

# The claim names of Better Auth and of RFC 9068, held once and not once for each cached token.
# (`sys.intern` would keep every name that a token contains: on Python 3.12, for ever.)
_CLAIM_NAMES: Final = """
    iss sub aud exp nbf iat jti sid scope client_id azp
    id name email emailVerified image createdAt updatedAt
    role banned banReason banExpires activeOrganizationId
"""
SHARED_NAMES: Final = {name: name for name in _CLAIM_NAMES.split()}
_DECODER: Final = StrictDecoder(shared_names=SHARED_NAMES)


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """The parts of a token whose signature has not been verified."""

    unverified_header: Mapping[str, object]
    unverified_claims: dict[str, object]
    signing_input: bytes
    signature: bytes

    def describe(self, error: InvalidTokenError) -> None:
        """Add to an error what the token claims to be, for the operator's log."""
        error.unverified_key_id = self.unverified_header.get("kid")
        error.unverified_issuer = self.unverified_claims.get("iss")
        error.unverified_audience = self.unverified_claims.get("aud")


def parse_compact(token: str) -> UnverifiedToken:
    """Parse a compact JWS: two JSON objects and a signature, all in canonical base64url.

    Raises `InvalidTokenError` for anything else: padding, white space, other alphabets, five parts
    (JWE), the JSON serialization, duplicate members (RFC 7519 section 4), NaN, nesting deeper than
    16 levels. Header and signature have limits of their own; the policy limits the whole token.
    """
    try:
        raw = token.encode("ascii")
    except UnicodeEncodeError:
        raise InvalidTokenError(Reason.MALFORMED) from None
    parts = raw.split(b".")
    if len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
        raise InvalidTokenError(Reason.MALFORMED)
    header, payload, signature = parts
    if len(header) > MAX_HEADER_CHARACTERS or len(signature) > MAX_SIGNATURE_CHARACTERS:
        raise InvalidTokenError(Reason.TOO_LARGE)
    return UnverifiedToken(
        unverified_header=_header(header),
        unverified_claims=_json_object(_decode(payload)),
        signing_input=raw[: len(raw) - len(signature) - 1],
        signature=_decode(signature),
    )


# All tokens of a key have the same header. The cache decides nothing: it holds a parsed text.
@lru_cache(_HEADERS_KEPT)
def _header(segment: bytes) -> Mapping[str, object]:
    return MappingProxyType(_json_object(_decode(segment)))


def _decode(segment: bytes) -> bytes:
    left_over = len(segment) % 4
    last = _LAST[left_over]
    if not segment or (last is not None and segment[-1] not in last):
        raise InvalidTokenError(Reason.MALFORMED)
    try:
        return a2b_base64(segment.translate(_TO_STANDARD) + _PADDING[left_over], strict_mode=True)
    except Error:
        raise InvalidTokenError(Reason.MALFORMED) from None


def _json_object(data: bytes) -> dict[str, object]:
    try:
        value = _DECODER.decode(data)
    except ValueError:
        raise InvalidTokenError(Reason.MALFORMED) from None
    if not isinstance(value, dict):
        raise InvalidTokenError(Reason.MALFORMED)
    # Counting brackets is cheap, and enough for nearly every token.
    if data.count(b"{") + data.count(b"[") > MAX_JSON_DEPTH and _depth(value) > MAX_JSON_DEPTH:
        raise InvalidTokenError(Reason.MALFORMED)
    return value


def _depth(value: object) -> int:
    """Return the depth of nesting, found level by level, without recursion."""
    depth, level = 0, [value]
    while level:
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not any(isinstance(item, dict | list) for item in level):
            break
        depth, level = depth + 1, below
    return depth
