"""Rows about the claims and the type of a token."""

import time
from collections.abc import Mapping
from typing import Final

from better_auth_keys.testing.check.forged import compact
from better_auth_keys.testing.check.row import Outcome, Row, not_applicable
from better_auth_keys.testing.check.rows.refused import Cases, all_refused, refused
from better_auth_keys.testing.check.stand import Stand

_HOUR: Final = 3600
_TEN_YEARS: Final = 10 * 365 * 24 * _HOUR


def _claim(name: str, values: Mapping[str, object]) -> Cases:
    """Return tokens with these values of one claim; `...` removes it."""

    def cases(stand: Stand) -> Mapping[str, str]:
        return {case: stand.token(**{name: value}) for case, value in values.items()}

    return cases


def _issuers(stand: Stand) -> Mapping[str, str]:
    own = stand.options.issuer
    values = {
        "missing": ...,
        "another": "https://evil.example.com",
        "with a slash": f"{own}/",
        "upper case": own.upper(),
        "longer": f"{own}.evil.example.com",
        "a list": [own],
        "null": None,
    }
    return _claim("iss", values)(stand)


def _audiences(stand: Stand) -> Mapping[str, str]:
    own = stand.options.audience
    values = {
        "missing": ...,
        "another": "https://evil.example.com",
        "longer": f"{own}.evil.example.com",
        "shorter": own[:-1],
        "empty": "",
        "an empty list": [],
        "others in a list": ["https://a.example.com", "https://b.example.com"],
        "null": None,
        "an object": {own: True},
    }
    return _claim("aud", values)(stand)


def _expired(stand: Stand) -> Mapping[str, str]:
    now = int(time.time())
    return {
        "an hour ago": stand.token(iat=now - 2 * _HOUR, exp=now - _HOUR),
        "six minutes ago": stand.token(iat=now - _HOUR, exp=now - 360),
        "at 0": stand.token(exp=0),
        "negative": stand.token(exp=-1),
    }


def _early(stand: Stand) -> Mapping[str, str]:
    now = int(time.time())
    return {
        "nbf in an hour": stand.token(nbf=now + _HOUR, exp=now + 2 * _HOUR),
        "nbf is a text": stand.token(nbf="tomorrow"),
    }


def _issued(stand: Stand) -> Mapping[str, str]:
    now = int(time.time())
    return {
        "missing": stand.token(iat=...),
        "in an hour": stand.token(iat=now + _HOUR, exp=now + 2 * _HOUR),
        "a text": stand.token(iat="now"),
    }


def _long_lived(stand: Stand) -> Mapping[str, str]:
    return {"ten years": stand.token(exp=int(time.time()) + _TEN_YEARS)}


def _other_types(stand: Stand) -> Mapping[str, str]:
    names = ["logout+jwt", "dpop+jwt", "secevent+jwt", "better-auth.session-cache+jwt", "JWE"]
    signer = stand.signer
    return {
        f"typ {name}": compact(signer, stand.header(typ=name), stand.claims()) for name in names
    }


async def _mixed_kind(stand: Stand) -> Outcome:
    if stand.options.kind != "session":
        return not_applicable("only with --tokens session")
    token = compact(stand.signer, stand.header(typ="at+jwt"), stand.claims())
    return await all_refused(stand, {"typ at+jwt, claims of a session": token})


async def _own_types(stand: Stand) -> Outcome:
    own = {"session": (..., "JWT", "jwt"), "oauth": ("at+jwt", "AT+JWT", "application/at+jwt")}
    refused_types = []
    for typ in own[stand.options.kind]:
        token = compact(stand.signer, stand.header(typ=typ), stand.claims())
        answer = await stand.ask(token)
        if answer.status != stand.options.accepted:
            refused_types.append(f"{'no typ' if typ is ... else typ}: {answer}")
    return Outcome.of(not refused_types, "; ".join(refused_types) or "3 of 3 accepted")


async def _rfc9068(stand: Stand) -> Outcome:
    if stand.options.kind != "oauth":
        return not_applicable("only with --tokens oauth")
    signer = stand.signer
    tokens = {f"no {name}": stand.token(**{name: ...}) for name in ("client_id", "jti", "sub")}
    tokens["no typ"] = compact(signer, stand.header(typ=...), stand.claims())
    return await all_refused(stand, tokens)


_NOT_DATES: Final = {
    "missing": ...,
    "a text": "tomorrow",
    "a number in a text": str(int(time.time()) + _HOUR),
    "true": True,
    "null": None,
    "a list": [9_999_999_999],
    "infinite": float("inf"),
}
_SUBJECTS: Final = {
    "missing": ...,
    "empty": "",
    "a number": 1,
    "null": None,
    "a list": ["alice"],
    "a line break": "alice\nbob",
    "a NUL": "alice\0",
    "10,000 characters": "a" * 10_000,
}
_BOUND: Final = {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}

ROWS: Final = (
    refused("issuer", "22", "any other `iss`", _issuers),
    refused("audience", "23", "any other `aud`", _audiences),
    refused("expired", "24", "expired tokens", _expired),
    refused("exp-form", "24", "an `exp` that is not a number", _claim("exp", _NOT_DATES)),
    refused("lifetime", "24", "a lifetime of ten years", _long_lived),
    refused("not-before", "25", "tokens that are not valid yet", _early),
    refused("issued-at", "25", "an `iat` that is missing or in the future", _issued),
    refused("subject", "29", "a `sub` that names nobody", _claim("sub", _SUBJECTS)),
    refused("key-bound", "32", "a token bound to a key, without proof", _claim("cnf", _BOUND)),
    refused("other-type", "26, 28", "logout, DPoP and session-cache tokens", _other_types),
    Row("mixed-kind", "26, 51", "401 for a session token of type at+jwt", _mixed_kind),
    Row("own-type", "26", "accepted: the usual values of `typ`", _own_types),
    Row("rfc9068", "27", "401 for OAuth tokens without what RFC 9068 requires", _rfc9068),
)
