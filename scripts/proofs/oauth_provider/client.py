"""A user of a Better Auth, and an OAuth client with their consent (authorization code, PKCE)."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx

_CALLBACK: Final = "https://client.example.com/callback"
_SCOPES: Final = "openid tasks:read tasks:write"


class FlowError(Exception):
    """Better Auth did not answer as expected."""


class OAuthClient:
    """Signs up, registers an OAuth client, and gets tokens of all kinds from `base`."""

    def __init__(self, base: str, resource: str) -> None:
        self._base = base
        self._resource = resource
        # Better Auth would take a cookie for a browser's.
        cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self._http = httpx.AsyncClient(cookies=cookies, timeout=20, trust_env=False)
        self._user: dict[str, str] = {}
        self._client = ("", "")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def register(self) -> None:
        """Create an account and an OAuth client."""
        account = {"name": "Ada", "email": "ada@example.com", "password": secrets.token_urlsafe()}
        signed_up = await self._http.post(f"{self._base}/sign-up/email", json=account)
        parts = urlsplit(self._base)
        self._user = {
            "Authorization": f"Bearer {signed_up.headers['set-auth-token']}",
            "Origin": f"{parts.scheme}://{parts.netloc}",
        }
        client = {
            "client_name": "proof",
            "redirect_uris": [_CALLBACK],
            "scope": _SCOPES,
            "grant_types": ["authorization_code"],
        }
        made = _content(
            await self._http.post(
                f"{self._base}/oauth2/create-client", json=client, headers=self._user
            )
        )
        self._client = made["client_id"], made["client_secret"]

    async def session_token(self) -> str:
        """Return a token of the jwt plugin."""
        answer = await self._http.get(f"{self._base}/token", headers=self._user)
        return str(_content(answer)["token"])

    async def user_tokens(self, scope: str, *, named: bool = True) -> Mapping[str, Any]:
        """Return the token response for the user. With `named`, the client names the resource."""
        verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(verifier.encode()).digest()
        resource = {"resource": self._resource} if named else {}
        request = {
            "client_id": self._client[0],
            "response_type": "code",
            "redirect_uri": _CALLBACK,
            "scope": scope,
            "state": "state",
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
            **resource,
        }
        asked = await self._http.get(
            f"{self._base}/oauth2/authorize", params=request, headers=self._user
        )
        location = asked.headers.get("Location", "")
        if not location.startswith(_CALLBACK):
            consent = {"accept": True, "oauth_query": urlsplit(location).query}
            agreed = await self._http.post(
                f"{self._base}/oauth2/consent", json=consent, headers=self._user
            )
            location = agreed.headers.get("Location", "")
        code = parse_qs(urlsplit(location).query).get("code")
        if code is None:
            raise FlowError(f"no code in the redirect to {location or 'nowhere'}")
        grant = {
            "grant_type": "authorization_code",
            "code": code[0],
            "redirect_uri": _CALLBACK,
            "code_verifier": verifier,
            **resource,
        }
        return await self._token(grant)

    async def _token(self, grant: Mapping[str, str]) -> Mapping[str, Any]:
        answer = await self._http.post(f"{self._base}/oauth2/token", data=grant, auth=self._client)
        return _content(answer)


def _content(answer: httpx.Response) -> Mapping[str, Any]:
    if not answer.is_success:
        raise FlowError(f"{answer.url.path} answered {answer.status_code}: {answer.text[:200]}")
    content: Mapping[str, Any] = answer.json()
    return content
