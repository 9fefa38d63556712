"""Metadata of a protected resource (RFC 9728), and the vocabulary of challenges (RFC 6750)."""

import pytest

from better_auth_keys.challenges import (
    INVALID_REQUEST,
    INVALID_TOKEN,
    MISSING,
    insufficient_scope,
)
from better_auth_keys.metadata import metadata_for, metadata_path


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ("https://api.example.com", "/.well-known/oauth-protected-resource"),
        ("https://api.example.com/", "/.well-known/oauth-protected-resource"),
        ("https://api.example.com/v1/", "/.well-known/oauth-protected-resource/v1"),
    ],
)
def test_path_of_the_api_follows_the_well_known_path(resource: str, path: str) -> None:
    assert metadata_path(resource) == path


@pytest.mark.parametrize("resource", ["", "api.example.com", "https://api.example.com?x=1"])
def test_resource_that_is_no_url_is_refused(resource: str) -> None:
    with pytest.raises(ValueError, match=r"must|not a URL"):
        metadata_path(resource)


def test_members_without_a_value_are_omitted() -> None:
    document = metadata_for("https://api.example.com", scopes=["b", "a"])
    assert document.model_dump(exclude_defaults=True) == {
        "resource": "https://api.example.com",
        "scopes_supported": ["b", "a"],
        "bearer_methods_supported": ["header"],
    }


def test_challenges_have_the_error_codes_of_the_rfc() -> None:
    challenges = (MISSING, INVALID_REQUEST, INVALID_TOKEN, insufficient_scope("a b"))
    assert [challenge.error for challenge in challenges] == [
        None,
        "invalid_request",
        "invalid_token",
        "insufficient_scope",
    ]
    assert insufficient_scope("a b").header("api", "https://x.test/m") == (
        'Bearer realm="api", error="insufficient_scope", error_description="The request requires'
        ' higher privileges than provided by the access token.", scope="a b",'
        ' resource_metadata="https://x.test/m"'
    )
