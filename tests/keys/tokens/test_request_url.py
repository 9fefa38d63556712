"""The URL of a request in one spelling (RFC 3986 section 6.2)."""

import pytest

from better_auth_keys.tokens.request_url import request_url

SAME = {
    "https://api.example.com/": [
        "https://api.example.com",
        "HTTPS://API.EXAMPLE.COM:443/",
        "https://api.example.com/?a=b",
        "https://api.example.com?a=b#c",
        "https://api.example.com/.",
        "https://api.example.com/../..",
    ],
    "https://api.example.com/a/b": [
        "https://api.example.com/a/b",
        "https://api.example.com/a/./b",
        "https://api.example.com/x/../a/b",
        "https://api.example.com/x/%2E%2e/a/%62",
    ],
    # The section's own examples.
    "https://example.com/a/g": ["https://example.com/a/b/c/./../../g"],
    "http://example.com/mid/6": ["http://example.com/mid/content=5/../6"],
    "http://[::1]:8000/%2F~": ["http://[::1]:8000/%2f%7E"],
    "http://127.0.0.1/a/": ["http://127.0.0.1:80/a/b/.."],
    "https://api.example.com//a//": ["https://api.example.com//a//"],
}

REFUSED = [
    "",
    "/a",
    "api.example.com/a",
    "ftp://api.example.com/a",
    "https:///a",
    "https://alice@api.example.com/a",
    "https://alice:secret@api.example.com/a",
    "https://api.example.com:x/a",
    "https://api.example.com:99999/a",
    "https://[api/a",
    "https://api.example.com/a b",
    "https://api.example.com/\n",
    "https://api.example.com/é",
    "https://api.example.com/%",
    "https://api.example.com/%zz",
    "https://api.example.com\\a",
    "https://api.example.com/" + "a" * 8192,
]


@pytest.mark.parametrize(
    ("expected", "url"), [(normal, url) for normal, urls in SAME.items() for url in urls]
)
def test_spellings_become_one(expected: str, url: str) -> None:
    assert request_url(url) == expected
    assert request_url(expected) == expected


@pytest.mark.parametrize("url", REFUSED)
def test_other_text_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|must"):
        request_url(url)
