import pytest

from better_auth_keys import CredentialsMissingError, CredentialsUnclearError, bearer_token


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   "])
def test_token_of_the_authorization_header_is_returned(scheme: str) -> None:
    headers = [(b"host", b"api.test"), (b"authorization", f"{scheme}a.b.c".encode())]
    assert bearer_token(headers, b"q=access") == "a.b.c"


@pytest.mark.parametrize("value", [None, b"", b"Basic YTpi", b"Bearera", b"Token a"])
def test_request_without_a_token_is_refused_with_a_message_for_the_client(
    value: bytes | None,
) -> None:
    headers = [] if value is None else [(b"authorization", value)]
    with pytest.raises(CredentialsMissingError, match=r"^Send an access token: .+\.$"):
        bearer_token(headers, b"")


def test_scheme_without_a_token_is_an_empty_token() -> None:
    assert bearer_token([(b"authorization", b"Bearer")], b"") == ""


@pytest.mark.parametrize("query", [b"access_token=a", b"x=1&access_token=", b"%61ccess_token=a"])
def test_token_in_the_url_is_refused(query: bytes) -> None:
    for headers in ([], [(b"authorization", b"Bearer a")]):
        with pytest.raises(CredentialsUnclearError, match=r"^Send the token in .+\.$"):
            bearer_token(headers, query)


def test_several_authorization_headers_are_refused() -> None:
    with pytest.raises(CredentialsUnclearError, match=r"^Send one Authorization header\.$"):
        bearer_token([(b"authorization", b"Bearer a")] * 2, b"")
