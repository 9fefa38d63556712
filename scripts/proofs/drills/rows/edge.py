"""Drills of the HTTP edge, over the wire, beside clients that must not notice."""

import asyncio
from typing import Final

from scripts.proofs.drills.drill import Drill, Seen
from scripts.proofs.drills.system.connection import exchange
from scripts.proofs.drills.system.stage import Stage

_LIVE: Final = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
_POST: Final = b"POST /livez HTTP/1.1\r\nHost: x\r\n"
_SMUGGLED: Final = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
_AMBIGUOUS: Final = {
    "Content-Length with Transfer-Encoding": _POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + _SMUGGLED,
    "two Hosts": _LIVE + b"Host: y\r\n\r\n" + _SMUGGLED,
    "bare LF": b"GET /livez HTTP/1.1\nHost: x\n\n" + _SMUGGLED,
}
_TIMES: Final = 50
_OFFERED: Final = {
    "10 kB": b"x" * 10_000,
    "a folded newline": b"12345678\r\n 90",
    "a bare newline": b"12345678\n90",
    "a quote": b'12345678"',
}


async def ambiguous_messages(stage: Stage) -> Seen:
    """Send messages that two servers could read differently, with a request hidden in each."""
    seen = Seen()
    async with stage.service() as service, stage.clients(4, service) as crowd:
        for name, message in _AMBIGUOUS.items():
            answers = await asyncio.gather(
                *(exchange(service.port, message) for _ in range(_TIMES))
            )
            seen.requests += _TIMES
            # exchange returns when the server has closed the connection.
            refused = all(answer.startswith(b"HTTP/1.1 400 ") for answer in answers)
            alone = all(answer.count(b"HTTP/1.1 ") == 1 for answer in answers)
            seen.require(refused, f"{name}: not 400")
            seen.require(alone, f"{name}: the hidden request was answered")
        seen.fact(f"{len(_AMBIGUOUS) * _TIMES} messages: 400, closed")
    seen.count(crowd.ledger)
    return seen


async def request_ids(stage: Stage) -> Seen:
    """Offer request ids that are no ids. They must be replaced, and never be in the log."""
    seen = Seen()
    async with stage.service() as service:
        for name, offered in _OFFERED.items():
            message = _LIVE + b"X-Request-ID: " + offered + b"\r\nConnection: close\r\n\r\n"
            answer = await exchange(service.port, message)
            seen.requests += 1
            head = answer.partition(b"\r\n\r\n")[0].lower()
            ids = [line for line in head.split(b"\r\n") if line.startswith(b"x-request-id: ")]
            seen.require(len(ids) == 1 and offered[:8].lower() not in head, f"{name}: not replaced")
        log = service.program.log.read_bytes()
        seen.require(not any(offered[:8] in log for offered in _OFFERED.values()), "in the log")
        seen.fact(f"{len(_OFFERED)} ids replaced or refused, none in the log")
    return seen


DRILLS: Final = (
    Drill(
        (40,),
        "ambiguous messages",
        "400, and the connection is closed",
        ambiguous_messages,
    ),
    Drill((44,), "request ids of clients", "replaced", request_ids),
)
