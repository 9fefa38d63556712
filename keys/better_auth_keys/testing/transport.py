"""An httpx transport that asks a function instead of the network."""

import httpx

from better_auth_keys.testing.loopback import Answer
from better_auth_keys.testing.replies import Request


class IssuerTransport(httpx.AsyncBaseTransport):
    """Answers each request with `answer(request)`; a dropped reply is a `ConnectError`.

    A reply that trickles arrives at once: that needs a real connection.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the reply as a response."""
        path = request.url.raw_path.decode("ascii")
        received = Request(request.method, path, dict(request.headers), await request.aread())
        reply = await self._answer(received)
        await reply.due()
        if reply.dropped:
            raise httpx.ConnectError("the issuer is down", request=request)
        return httpx.Response(
            reply.status, headers=dict(reply.headers), stream=httpx.ByteStream(reply.body)
        )
