"""The issuer that the check plays: keys and discovery documents where servers look for them."""

import json
from typing import Final

from better_auth_keys import JWKS_PATH
from better_auth_keys.testing.http_issuer import HttpIssuer
from better_auth_keys.testing.replies import Reply, Request

KEY_PATHS: Final = frozenset({JWKS_PATH, "/.well-known/jwks.json", "/jwks"})
_DISCOVERY: Final = "/.well-known/"
_DOCUMENTS: Final = ("openid-configuration", "oauth-authorization-server")


class PlayedIssuer(HttpIssuer):
    """An issuer that many kinds of servers can be configured with.

    `name` is the issuer in tokens and in the discovery documents (RFC 8414).
    """

    name: str = ""

    @property
    def fetches(self) -> int:
        """How often the keys were fetched."""
        return sum(request.path in KEY_PATHS for request in self.requests)

    async def answer(self, request: Request) -> Reply:
        """Answer with the keys, a discovery document, or what is elsewhere."""
        if request.path in KEY_PATHS:
            self.requests.append(request)
            return self.reply
        path = request.path.removeprefix(_DISCOVERY).partition("/")[0]
        if request.path.startswith(_DISCOVERY) and path in _DOCUMENTS:
            self.requests.append(request)
            document = {"issuer": self.name, "jwks_uri": self.jwks_url}
            return Reply(body=json.dumps(document).encode())
        return await super().answer(request)
