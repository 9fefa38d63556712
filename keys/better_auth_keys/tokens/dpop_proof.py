"""`DpopProof`: what a request says about its DPoP proof."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

# What `quote` leaves as it is in a path (RFC 3986 section 3.3).
_PATH_CHARACTERS = "/:@!$&'()*+,;=~"


@dataclass(frozen=True, slots=True)
class DpopProof:
    """What a request with the scheme `DPoP` says about its proof. Nothing in it is verified.

    `headers` are the values of all its header fields named `DPoP`: pass every one, because two are
    refused. `url` is the URL that the client requested. Behind a proxy, its scheme and host are
    those of the proxy. Query and fragment are ignored.
    """

    headers: str | Sequence[str]
    method: str
    url: str

    @classmethod
    def of_request(cls, scope: Mapping[str, Any], base_url: str) -> Self:
        """Return what a request with this ASGI scope says about its proof.

        `base_url` is what the client writes before the path, such as `https://api.example.com`. The
        request's own header `Host` is not used: the client chooses it. The handshake of a WebSocket
        is a GET request.
        """
        headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
        proofs = [value.decode("latin-1") for name, value in headers if name == b"dpop"]
        raw_path: bytes | None = scope.get(
            "raw_path"
        )  # as the client wrote it; servers may omit it
        path = raw_path.decode("latin-1") if raw_path else quote(scope["path"], _PATH_CHARACTERS)
        return cls(proofs, scope.get("method", "GET"), f"{base_url}{path}")
