"""A user, valid bodies, and a call of an account endpoint."""

from collections.abc import Awaitable

import httpx

from tests.simulators.better_auth_accounts import signed

USER = {
    "id": "u-1",
    "name": "Ada",
    "email": "ada@example.com",
    "emailVerified": True,
    "image": None,
}
PASSWORD = "correct horse battery"
BARE = "06yKJpJtZvDsweGMxIfZ6CxJH4EWypyX"
SIGNED = signed(BARE)
LOGIN = {"email": "ada@example.com", "password": PASSWORD}
REGISTRATION = {**LOGIN, "name": "Ada"}


def post(
    client: httpx.AsyncClient, path: str, body: object, **headers: str
) -> Awaitable[httpx.Response]:
    """Call an account endpoint."""
    return client.post(f"/api/auth/{path}", json=body, headers=headers)
