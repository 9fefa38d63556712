"""The flood of the drills. What it does to the service is too slow for the suite."""

import asyncio

from scripts.proofs.drills.system.flood import flood

_REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n"


async def test_refused_clients_do_not_wait_beyond_the_end_of_the_flood() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not (await reader.readline()).isspace():
            pass
        writer.write(_REFUSAL)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server, asyncio.timeout(10):
        seen = await flood(server.sockets[0].getsockname()[1], 2, ["a.b.c", "d.e.f"], 0.2)
    assert seen.statuses == {"503": 2}
    assert not seen.without_retry_after
