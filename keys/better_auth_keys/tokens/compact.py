"""A JWS in compact form, taken apart and bounded before any cryptography (RFC 7515, 7.1).

Everything in here is unverified. Names say so, and nothing of it may leave `keys` before the
signature has been checked.
"""

import base64
import json
import re
from dataclasses import dataclass
from typing import Final, NoReturn

from better_auth_keys.errors import InvalidTokenError, Reason

MAX_HEADER_CHARACTERS: Final = 2048
MAX_SIGNATURE_CHARACTERS: Final = 1400  # 8192 bits of RSA are 1366 characters
MAX_JSON_DEPTH: Final = 16

# base64url without padding, in its one canonical form: the spare bits of the last character are
# zero. Otherwise 15 other spellings of an Ed25519 signature would pass for the same token.
_BASE64URL: Final = re.compile(
    rb"(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])?"
)

# The names of Better Auth's claims and of RFC 9068's, held once and not once for each token that is
# kept. (`sys.intern` would hold any name that a token brings: on Python 3.12, for ever.)
SHARED_NAMES: Final = {
    name: name
    for name in (
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "sid",
        "scope",
        "client_id",
        "azp",
        "id",
        "name",
        "email",
        "emailVerified",
        "image",
        "createdAt",
        "updatedAt",
        "role",
        "banned",
        "banReason",
        "banExpires",
        "activeOrganizationId",
    )
}


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A token's parts as it claims them to be; nobody has vouched for them yet."""

    unverified_header: dict[str, object]
    unverified_claims: dict[str, object]
    signing_input: bytes
    signature: bytes


def parse_compact(token: str) -> UnverifiedToken:
    """Take a compact JWS apart: two JSON objects and a signature, all in canonical base64url.

    Raises `InvalidTokenError` for anything else: padding, white space, other alphabets, five parts
    (JWE), the JSON serialization, duplicate members, NaN, nesting deeper than 16. How long a token
    may be in all is the policy's business; header and signature have bounds of their own.
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
        unverified_header=_json_object(_decode(header)),
        unverified_claims=_json_object(_decode(payload)),
        signing_input=raw[: len(raw) - len(signature) - 1],
        signature=_decode(signature),
    )


def _decode(segment: bytes) -> bytes:
    if not segment or _BASE64URL.fullmatch(segment) is None:
        raise InvalidTokenError(Reason.MALFORMED)
    return base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))


def _json_object(data: bytes) -> dict[str, object]:
    try:
        # Decoded here, strictly: json.loads would guess UTF-16 and UTF-32 and drop a BOM.
        value = _DECODER.decode(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise InvalidTokenError(Reason.MALFORMED) from None
    if not isinstance(value, dict):
        raise InvalidTokenError(Reason.MALFORMED)
    # Counting brackets costs next to nothing and settles nearly every token.
    if data.count(b"{") + data.count(b"[") > MAX_JSON_DEPTH and _depth(value) > MAX_JSON_DEPTH:
        raise InvalidTokenError(Reason.MALFORMED)
    return value


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = {SHARED_NAMES.get(name, name): value for name, value in pairs}
    if len(members) != len(pairs):
        raise ValueError("duplicate member")  # RFC 7519 section 4
    return members


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique_members, parse_constant=_no_constant)


def _depth(value: object) -> int:
    """Measure nesting level by level, without recursion."""
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
