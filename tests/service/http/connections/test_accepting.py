"""Connections that wait are accepted together."""

import asyncio
import os
import resource
import socket

import pytest

from service.http.connections.accepting import MOST_IN_A_TURN, Loop

CLIENTS = 2 * MOST_IN_A_TURN
TURNS = 12


class Greeting(asyncio.Protocol):
    """Sends each client its own port."""

    made = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # a server's can be written to
        Greeting.made += 1
        transport.write(b"%d" % transport.get_extra_info("peername")[1])


async def crowd() -> None:
    Greeting.made = 0
    server = await asyncio.get_running_loop().create_server(
        Greeting, "127.0.0.1", 0, backlog=CLIENTS
    )
    port = server.sockets[0].getsockname()[1]
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(CLIENTS)]
    try:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        accepted = Greeting.made
        for client in clients[:accepted]:
            client.settimeout(5)
            assert client.recv(100) == b"%d" % client.getsockname()[1]
    finally:
        for client in clients:
            client.close()
        server.close()
    assert accepted == CLIENTS
    await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


async def crowd_without_descriptors() -> None:
    loop, problems = asyncio.get_running_loop(), list[object]()
    Greeting.made = 0
    loop.set_exception_handler(lambda _, context: problems.append(context))
    server = await loop.create_server(Greeting, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    kept = resource.getrlimit(resource.RLIMIT_NOFILE)
    client = socket.socket()
    try:
        client.connect(("127.0.0.1", port))
        # The connection that is accepted gets the last descriptor.
        last = os.dup(0)
        os.close(last)
        resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1, kept[1]))
        while not Greeting.made:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)
        for _ in range(TURNS):
            await asyncio.sleep(0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, kept)
        client.close()
        server.close()
    assert problems == []


def test_connection_with_the_last_descriptor_is_served_without_an_error() -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(crowd_without_descriptors())


def test_fault74_crowd_is_accepted_in_a_few_turns_of_the_loop() -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(crowd())
