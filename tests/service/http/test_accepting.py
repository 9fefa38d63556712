"""Connections that wait are accepted together."""

import asyncio
import socket

import pytest

from service.http.accepting import MOST_IN_A_TURN, Loop

CLIENTS = 2 * MOST_IN_A_TURN
TURNS = 12


class Greeting(asyncio.Protocol):
    """Sends each client its own port."""

    made = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # a server's can be written to
        Greeting.made += 1
        transport.write(b"%d" % transport.get_extra_info("peername")[1])


async def crowd() -> None:
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


def test_fault74_crowd_is_accepted_in_a_few_turns_of_the_loop() -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(crowd())
