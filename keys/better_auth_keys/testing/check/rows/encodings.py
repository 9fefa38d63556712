"""Rows about the form of a token: its encoding, size and JSON."""

import json
from collections.abc import Mapping
from typing import Final

from better_auth_keys.testing.check.forged import b64, compact
from better_auth_keys.testing.check.rows.refused import MALFORMED, OVERSIZED, refused
from better_auth_keys.testing.check.stand import Stand

_HUGE: Final = 100_000
_DEEP: Final = 3_000


def _not_compact(stand: Stand) -> Mapping[str, str]:
    head, payload, signature = stand.token().split(".")
    flattened = {"protected": head, "payload": payload, "signature": signature}
    return {
        "five parts": f"{b64(b'{}')}.{head}.{payload}.{signature}.{signature}",
        "four parts": f"{head}.{payload}.{signature}.",
        "two parts": f"{head}.{payload}",
        "JSON serialization": json.dumps(flattened, separators=(",", ":")),
        "one word": "rubbish",
    }


def _not_base64url(stand: Stand) -> Mapping[str, str]:
    head, payload, signature = stand.token().split(".")
    return {
        "padding": f"{head}.{payload}.{signature}==",
        "an exclamation mark": f"{head}.{payload}.{signature}!",
        "a character that means nothing": f"{head}.{payload}.{signature[:8]}*{signature[8:]}",
    }


def _not_utf8(stand: Stand) -> Mapping[str, str]:
    claims = json.dumps(stand.claims(sub="x")).encode()
    signer = stand.signer
    return {
        "Latin-1": compact(signer, stand.header(), claims.replace(b'"x"', b'"\xe9"')),
        "UTF-16": compact(signer, stand.header(), claims.decode().encode("utf-16")),
    }


def _duplicates(stand: Stand) -> Mapping[str, str]:
    claims, head = json.dumps(stand.claims()), json.dumps(stand.header())
    signer = stand.signer
    return {
        "two sub": compact(signer, stand.header(), f'{{"sub":"first",{claims[1:]}'.encode()),
        "two alg": compact(signer, f'{{"alg":"none",{head[1:]}'.encode(), stand.claims()),
    }


def _not_objects(stand: Stand) -> Mapping[str, str]:
    signer = stand.signer
    return {
        "payload is a list": compact(signer, stand.header(), b"[]"),
        "payload is not JSON": compact(signer, stand.header(), b"hello"),
        "payload is empty": compact(signer, stand.header(), b""),
        "header is a list": compact(signer, b"[]", stand.claims()),
    }


def _oversized(stand: Stand) -> Mapping[str, str]:
    signer = stand.signer
    nested = b"[" * _DEEP + b"]" * _DEEP
    deep = json.dumps(stand.claims())[:-1].encode() + b',"x":' + nested + b"}"
    return {
        "100,000 characters": stand.token(x="x" * _HUGE),
        "3,000 levels in the payload": compact(signer, stand.header(), deep),
        "3,000 levels in the header": compact(signer, b'{"alg":' + nested + b"}", stand.claims()),
    }


ROWS: Final = (
    refused("not-compact", "10", "what is not a compact JWS", _not_compact, MALFORMED),
    refused("not-base64url", "11", "characters outside of base64url", _not_base64url, MALFORMED),
    refused("not-utf8", "12", "JSON that is not UTF-8", _not_utf8, MALFORMED),
    refused("duplicate-members", "13", "duplicate JSON members", _duplicates, MALFORMED),
    refused("not-objects", "RFC 7519", "parts that are not JSON objects", _not_objects, MALFORMED),
    refused("oversized", "14", "tokens that are too large or too deep", _oversized, OVERSIZED),
)
