"""Read the access token of a request from the Authorization header, and nowhere else (RFC 6750)."""

from collections.abc import Iterable
from urllib.parse import parse_qsl

from better_auth_keys.errors import CredentialsMissingError, CredentialsUnclearError


def bearer_token(headers: Iterable[tuple[bytes, bytes]], query_string: bytes) -> str:
    """Return the token of a request with these ASGI headers, whose names are in lower case.

    Raises `CredentialsMissingError` if there is no token, and `CredentialsUnclearError` if it is in
    the URL, or if there are several Authorization headers.
    """
    scheme, token = credentials_of(headers, query_string)
    if scheme != "bearer":
        raise CredentialsMissingError
    return token


def credentials_of(headers: Iterable[tuple[bytes, bytes]], query_string: bytes) -> tuple[str, str]:
    """Return the scheme in lower case, such as `bearer` or `dpop`, and the token of a request.

    Both are empty if there is no Authorization header. Raises `CredentialsUnclearError` as
    `bearer_token`.
    """
    # Parse the query only if it may contain the name, which percent-encoding can hide.
    is_suspect = b"access_token" in query_string or b"%" in query_string
    if is_suspect and _has_token(query_string):
        # Servers and proxies log URLs (RFC 9700 section 4.3.2).
        raise CredentialsUnclearError("Send the token in the Authorization header, not in the URL.")
    found = None
    for name, value in headers:
        if name == b"authorization":
            if found is not None:
                raise CredentialsUnclearError("Send one Authorization header.")
            found = value
    if found is None:
        return "", ""
    scheme, _, token = found.decode("latin-1").partition(" ")
    # Several spaces may separate the scheme from the token (RFC 9110 section 11.4).
    return scheme.lower(), token.strip(" ")


def _has_token(query_string: bytes) -> bool:
    parameters = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    return any(name == "access_token" for name, _ in parameters)
