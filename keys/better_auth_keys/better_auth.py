"""The URLs of a Better Auth: where its keys are, and the issuer that its tokens name.

Seen with Better Auth 1.7: session tokens name the origin, and OAuth access tokens the base URL with
the base path. The jwt plugin's option `issuer` replaces both.
"""

from typing import Final

from better_auth_keys.origins import origin_of

BASE_PATH: Final = "/api/auth"
"""Where Better Auth answers unless its option `basePath` is set."""
JWKS_PATH: Final = f"{BASE_PATH}/jwks"


def better_auth_jwks_url(url: str, base_path: str = BASE_PATH) -> str:
    """Return where a Better Auth at `url` serves its keys. Raises `ValueError`."""
    return f"{_base_url(url, base_path)}/jwks"


def better_auth_oauth_issuer(url: str, base_path: str = BASE_PATH) -> str:
    """Return the issuer of OAuth access tokens of a Better Auth at `url`. Raises `ValueError`."""
    return _base_url(url, base_path)


def neon_jwks_url(url: str) -> str:
    """Return where Neon serves the keys of the managed Better Auth at `url`."""
    return f"{url.rstrip('/')}/.well-known/jwks.json"


def _base_url(url: str, base_path: str) -> str:
    if base_path.strip("/") and not base_path.startswith("/"):
        raise ValueError("the base path must begin with a slash, such as /api/auth")
    base = f"{url.rstrip('/')}{base_path.rstrip('/')}"
    origin_of(base)  # refuses a query, a fragment and white space
    return base
