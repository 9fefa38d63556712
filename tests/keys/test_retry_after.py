"""How long a server asks to wait."""

import httpx
import pytest

from better_auth_keys import parse_retry_after

CASES: dict[str, tuple[dict[str, str], float | None]] = {
    "seconds": ({"Retry-After": "7"}, 7),
    "Better Auth's own header": ({"X-Retry-After": "7"}, 7),
    "both headers": ({"Retry-After": "5", "X-Retry-After": "7"}, 5),
    "zero": ({"Retry-After": "0"}, 0),
    "a date": ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
    "a fraction": ({"Retry-After": "1.5"}, None),
    "a negative number": ({"Retry-After": "-1"}, None),
    "digits of another script": ({"Retry-After": "\u0663"}, None),
    "too many digits": ({"Retry-After": "1000000"}, None),
    "no header": ({}, None),
}


@pytest.mark.parametrize(("headers", "seconds"), CASES.values(), ids=CASES)
def test_delay_is_read_from_the_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(httpx.Headers(headers, encoding="utf-8")) == seconds
