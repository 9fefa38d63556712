"""The load: one thread, non-blocking sockets and epoll, so that it takes little of its core.

Closed loop: each connection sends its next request when it has its answer. Open loop: requests are
due at a fixed rate, and a latency counts from when the request was due, not from when a connection
was free to send it.
"""

import heapq
import itertools
import re
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

Request = tuple[bytes, int]
"""The bytes to send, and the status that the answer must have."""

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RETRY_AFTER: Final = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
_STATUS: Final = slice(9, 12)
_CHUNK: Final = 1 << 18
_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_PATIENCE_SECONDS: Final = 10.0
_LONGEST_WAIT: Final = 0.2
_SHORTEST_WAIT: Final = 0.001

ONE_HOST: Final = range(1, 2)
MANY_HOSTS: Final = range(2, 252)
"""The last numbers of the addresses 127.0.0.x that requests come from."""


class LoadError(Exception):
    """The server does not answer in a way that can be measured; the message is one line."""


@dataclass
class Outcome:
    """What was seen while it was measured."""

    latencies: list[float] = field(default_factory=list)
    answers: int = 0
    seconds: float = 0.0
    busy_seconds: float = 0.0
    unexpected: Counter[str] = field(default_factory=Counter)
    unexpected_latencies: list[float] = field(default_factory=list)
    """Those among `latencies` whose answer had another status than expected."""
    lateness: list[float] = field(default_factory=list)
    """In an open loop, how late this process noticed that each request was due."""


class _Client:
    """A connection, and the request that is under way on it."""

    def __init__(self, port: int, address: str) -> None:
        self.socket = socket.create_connection(
            ("127.0.0.1", port), timeout=_PATIENCE_SECONDS, source_address=(address, 0)
        )
        if self.socket.getsockname() == self.socket.getpeername():
            # Nothing listens there: the kernel picked the same port for this end, and connected the
            # socket to itself.
            self.socket.close()
            raise ConnectionRefusedError
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(0)
        self.buffer = b""
        self.since = 0.0
        self.expected = 0

    def status(self) -> int | None:
        """Return the status of the answer once all of it has arrived."""
        buffer = self.buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        status = int(buffer[_STATUS])
        if status in _BODILESS:
            return status
        length = _LENGTH.search(buffer, 0, end)
        if length is None:
            raise LoadError(f"an answer without Content-Length: {buffer[:200]!r}")
        return status if len(buffer) >= end + 4 + int(length[1]) else None

    def retry_after(self) -> int:
        """Return the seconds that a whole answer asks the client to wait for."""
        seconds = _RETRY_AFTER.search(self.buffer, 0, self.buffer.find(b"\r\n\r\n"))
        return 0 if seconds is None else int(seconds[1])


class Load:
    """Send requests to a server on 127.0.0.1, over connections that are kept.

    They come from `hosts`, addresses of 127.0.0.x, in turns, because a server may limit one
    address. If they are `patient`, a connection pauses for as long as Retry-After says.
    """

    def __init__(
        self,
        port: int,
        requests: Iterator[Request],
        *,
        connections: int,
        hosts: Sequence[int] = ONE_HOST,
        patient: bool = False,
    ) -> None:
        self._port = port
        self._requests = requests
        self._connections = connections
        self._addresses = itertools.cycle([f"127.0.0.{host}" for host in hosts])
        self._outcome = Outcome()
        self._measuring = False
        self._exhausted = False
        self._is_closed_loop = True
        self._poller = select.epoll()
        self._clients: dict[int, _Client] = {}
        self._idle: deque[_Client] = deque()
        self._due: deque[float] = deque()
        self._patient = patient
        self._resting: list[tuple[float, int, _Client]] = []
        """A heap of connections by the time at which they go on; the number makes times differ."""
        self._numbers = itertools.count()

    def run(
        self,
        *,
        warm_up: float,
        seconds: float,
        rate: float | None = None,
        began: Callable[[], object] = lambda: None,
        ended: Callable[[], object] = lambda: None,
    ) -> Outcome:
        """Warm up, measure for `seconds` or until the requests run out, and close.

        Where there is no answer within `seconds`, the measurement goes on until there is one.

        With a `rate` (requests per second) the loop is open. `began` and `ended` are called where
        the measured time begins and ends. Raises `LoadError`.
        """
        self._is_closed_loop = rate is None
        try:
            for _ in range(self._connections):
                self._connect()
            self._spin(time.perf_counter() + warm_up, rate)
            began()
            self._measuring = True
            busy, start = time.process_time(), time.perf_counter()
            self._spin(start + seconds, rate)
            self._measuring = False
            self._outcome.seconds = time.perf_counter() - start
            self._outcome.busy_seconds = time.process_time() - busy
            ended()
            self._drain()
        finally:
            for client in self._clients.values():
                client.socket.close()
            self._poller.close()
        return self._outcome

    def _spin(self, until: float, rate: float | None) -> None:
        next_due = time.perf_counter()
        # An open loop that is measured begins with nothing overdue.
        self._due.clear()
        while True:
            now = time.perf_counter()
            if now >= until and (self._enough() or now >= until + _PATIENCE_SECONDS):
                return
            wait = min(max(until - now, _SHORTEST_WAIT), _LONGEST_WAIT)
            while self._resting and self._resting[0][0] <= now:
                self._idle.append(heapq.heappop(self._resting)[2])
            if self._resting:
                wait = min(wait, self._resting[0][0] - now)
            if rate is None:
                self._due.extend([now] * (len(self._idle) - len(self._due)))
            else:
                while next_due <= now:
                    self._due.append(next_due)
                    if self._measuring:
                        self._outcome.lateness.append(now - next_due)
                    next_due += 1 / rate
                wait = min(wait, next_due - now)
            while self._due and self._idle and not self._exhausted:
                self._send(self._idle.pop(), self._due.popleft())
            if self._exhausted and len(self._idle) == len(self._clients):
                return  # and not after a wait for what cannot come: that would delay a start
            self._receive(wait)

    def _enough(self) -> bool:
        """Whether there is something to judge: a slow server may need longer for one answer."""
        return not self._measuring or self._outcome.answers > 0

    def _drain(self) -> None:
        """Wait for the answers under way, so that the next load does not meet them."""
        deadline = time.perf_counter() + _PATIENCE_SECONDS
        while len(self._idle) + len(self._resting) < len(self._clients):
            if time.perf_counter() > deadline:
                raise LoadError(f"no answer within {_PATIENCE_SECONDS:.0f} s")
            self._receive(_LONGEST_WAIT)

    def _connect(self) -> None:
        client = _Client(self._port, next(self._addresses))
        self._clients[client.socket.fileno()] = client
        self._poller.register(client.socket, select.EPOLLIN)
        self._idle.append(client)

    def _send(self, client: _Client, since: float) -> None:
        request = next(self._requests, None)
        if request is None:
            self._exhausted = True
            self._idle.append(client)
            return
        message, client.expected = request
        client.since, client.buffer = since, b""
        if client.socket.send(message) != len(message):
            raise LoadError("a request did not fit into the socket's buffer")

    def _receive(self, wait: float) -> None:
        # epoll's own timeout counts in milliseconds, which is too coarse for an open loop.
        if not self._is_closed_loop and not select.select([self._poller], [], [], wait)[0]:
            return
        for descriptor, _ in self._poller.poll(wait if self._is_closed_loop else 0):
            client = self._clients[descriptor]
            try:
                received = client.socket.recv(_CHUNK)
            except ConnectionError:
                received = b""
            if not received:
                self._closed(descriptor, client)
                continue
            client.buffer = client.buffer + received if client.buffer else received
            status = client.status()
            if status is not None:
                self._answered(client, status)
                rest = client.retry_after() if self._patient else 0
                if rest:
                    rested = time.perf_counter() + rest
                    heapq.heappush(self._resting, (rested, next(self._numbers), client))
                else:
                    self._idle.append(client)

    def _answered(self, client: _Client, status: int) -> None:
        if status != client.expected:
            # Counted while warming up, too: an error is an error.
            self._outcome.unexpected[str(status)] += 1
        if self._measuring:
            self._outcome.answers += 1
            self._outcome.latencies.append(time.perf_counter() - client.since)
            if status != client.expected:
                self._outcome.unexpected_latencies.append(self._outcome.latencies[-1])

    def _closed(self, descriptor: int, client: _Client) -> None:
        del self._clients[descriptor]
        client.socket.close()
        if client in self._idle:
            self._idle.remove(client)  # it was idle for longer than the server keeps connections
        elif resting := [entry for entry in self._resting if entry[2] is client]:
            self._resting.remove(resting[0])
            heapq.heapify(self._resting)
        else:
            self._outcome.unexpected["closed"] += 1
        self._connect()
