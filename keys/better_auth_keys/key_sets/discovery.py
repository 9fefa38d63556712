"""The metadata of an authorization server, which names its JWKS URL (RFC 8414, OpenID Connect).

No I/O: `fetch` reads the documents.
"""

from typing import Final
from urllib.parse import urlsplit

from better_auth_keys.origins import origin_of
from better_auth_keys.strict_json import StrictDecoder

_OAUTH: Final = "/.well-known/oauth-authorization-server"
_OPENID: Final = "/.well-known/openid-configuration"
_DECODER: Final = StrictDecoder()


class MetadataError(Exception):
    """The metadata must not be used. The message is safe to log."""


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """Return where the metadata of an issuer can be, in the order in which to look.

    RFC 8414 (section 3.1) puts the well-known path before the issuer's path, and OpenID Connect
    after it. Better Auth also serves RFC 8414's document after it, under its base path.

    Raises `ValueError` if `issuer` is not an http(s) URL without query and fragment.
    """
    origin, path = origin_of(issuer), urlsplit(issuer).path.rstrip("/")
    places = (f"{_OAUTH}{path}", f"{path}{_OPENID}", f"{path}{_OAUTH}")
    return tuple(dict.fromkeys(f"{origin}{place}" for place in places))


def jwks_url_in(document: bytes, issuer: str) -> str | None:
    """Return the JWKS URL in the metadata of `issuer`, or None if the document is no metadata.

    Raises `MetadataError` if it is the metadata of another issuer (RFC 8414 section 3.3), or names
    no JWKS URL. The caller checks whether the URL is safe.
    """
    try:
        metadata = _DECODER.decode(document)
    except ValueError:
        return None
    if not isinstance(metadata, dict) or "issuer" not in metadata:
        return None
    if metadata["issuer"] != issuer:
        raise MetadataError("it names another issuer")
    url = metadata.get("jwks_uri")
    if not isinstance(url, str):
        raise MetadataError("it names no jwks_uri")
    if issuer.startswith("https:") and not url.startswith("https:"):
        raise MetadataError("its jwks_uri is not https")
    return url
