"""`LoopbackServer`: what it leaves behind."""

import asyncio

import httpx

from better_auth_keys.testing import Gate, LoopbackServer, Reply, Request


async def test_stop_ends_replies_that_are_held_back() -> None:
    asked = asyncio.Event()

    async def held(request: Request) -> Reply:
        del request
        asked.set()
        return Reply(gate=Gate())

    before = asyncio.all_tasks()
    server = LoopbackServer(held)
    origin = await server.start()
    async with httpx.AsyncClient() as client:
        waiting = asyncio.create_task(client.get(origin))
        await asked.wait()
        [serving] = asyncio.all_tasks() - before - {waiting}
        await server.stop()
        answer, _ = await asyncio.gather(waiting, serving, return_exceptions=True)
    assert isinstance(answer, httpx.TransportError)
    assert asyncio.all_tasks() == before
