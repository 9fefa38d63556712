"""JSON bodies, read strictly: one encoding, one media type, no member twice.

FastAPI's own reading takes UTF-16, a byte order mark and duplicate members, the last of which wins:
two programs that look at such a body can see two different tasks (RFC 8259 sections 4 and 8.1).
"""

import json
from email.message import Message
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request

from service.problems import ProblemError


class JsonRequest(Request):
    """A request whose body is JSON or nothing at all."""

    async def json(self) -> Any:
        """Read the body. Raises `json.JSONDecodeError` for all that is not strictly JSON."""
        try:
            return _DECODER.decode((await self.body()).decode("utf-8"))
        except (ValueError, RecursionError):
            # One kind of error, and without the body: FastAPI would keep it for its own message.
            raise json.JSONDecodeError("not JSON", "", 0) from None


def require_json(request: Request) -> None:
    """Raise `ProblemError` (415) if there is a body and it does not say that it is plain JSON."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return
    parsed = Message()
    parsed["content-type"] = headers.get("content-type", "")
    media_type, charset = parsed.get_content_type(), parsed.get_content_charset("utf-8")
    is_json = media_type in _JSON_TYPES and charset == "utf-8"
    if not is_json or headers.get("content-encoding", "identity") != "identity":
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Send the body as application/json in UTF-8, without compression.",
        )


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


_JSON_TYPES: Final = frozenset({"application/json", "application/merge-patch+json"})
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique_members)
