"""The endpoints of Services, as a DNS server on this machine: each name has the pods' addresses.

So the proxy learns of pods without a new configuration. A change of its configuration would close
connections, and requests that are just being sent would be lost by the proxy, not by the pods.
"""

import socket
import struct
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

ZONE: Final = "endpoints."
_HEADER: Final = struct.Struct(">6H")
_QUESTION_END: Final = struct.Struct(">2H")
# A pointer to the name in the question, type A, class IN, no caching, four bytes.
_ANSWER: Final = struct.pack(">3HIH", 0xC00C, 1, 1, 0, 4)
_TYPE_A: Final = 1
# A response with authority, to a query that asked for recursion.
_FLAGS: Final = 0x8580
_POLL_SECONDS: Final = 0.2


class Endpoints:
    """Answers DNS queries for the addresses of each name. As a context manager, it listens."""

    def __init__(self) -> None:
        self._addresses: dict[str, Sequence[str]] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        # All addresses: that of the pods' network does not exist yet.
        self._socket.bind(("0.0.0.0", 0))  # noqa: S104 - see above
        self._socket.settimeout(_POLL_SECONDS)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()
        self._socket.close()

    @property
    def port(self) -> int:
        """The UDP port."""
        port: int = self._socket.getsockname()[1]
        return port

    def publish(self, name: str, addresses: Sequence[str]) -> None:
        """Set the addresses of a name."""
        self._addresses[name] = (*addresses,)

    def answer(self, query: bytes) -> bytes:
        """Return the response to a query. Raises `ValueError` if it is malformed."""
        try:
            number, *_ = _HEADER.unpack_from(query)
            labels, end = [], _HEADER.size
            while length := query[end]:
                labels.append(query[end + 1 : end + 1 + length].decode("ascii"))
                end += length + 1
            kind, _ = _QUESTION_END.unpack_from(query, end + 1)
        except (struct.error, IndexError) as error:
            raise ValueError("malformed query") from error
        name = ".".join(labels).lower().removesuffix(f".{ZONE.rstrip('.')}")
        found = self._addresses.get(name, ()) if kind == _TYPE_A else ()
        header = _HEADER.pack(number, _FLAGS, 1, len(found), 0, 0)
        question = query[_HEADER.size : end + 1 + _QUESTION_END.size]
        records = (_ANSWER + socket.inet_aton(address) for address in found)
        return b"".join((header, question, *records))

    def _serve(self) -> None:
        while not self._end.is_set():
            try:
                query, sender = self._socket.recvfrom(512)
                self._socket.sendto(self.answer(query), sender)
            except (TimeoutError, ValueError):
                continue
