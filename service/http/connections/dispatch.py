"""The part of the HTTP protocol that begins requests: at once, later, or not at all.

`BoundedHttpProtocol` receives requests and checks them. What happens to a request from then on:

1. It begins after all received bytes are parsed, because they may be malformed.
2. A request that `Admission` does not admit is refused without calling the application. In an
   overload most requests are refused, so this must cost little.
3. An admitted request may have to wait before it begins (`running.py`). If its client leaves
   meanwhile, nothing is done for it.
4. If a connection is reset, the request that is being answered on it is cancelled, and so is its
   query in the database. An ordinary close looks like a half-close: it is noticed only when the
   response cannot be delivered.
5. A response without an end, such as a stream of events, takes the connection over
   (`streaming.py`). Requests that were pipelined behind it are dropped.

What a connection needs beside uvicorn's attributes is kept in slots. Together they are more than 30
attributes, which Python keeps in 1.6 kB for each connection, and with slots in 0.5 kB. An overload
has thousands of connections, and the caches hold more of them.
"""

import asyncio
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Final

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.http.connections.admission import Admission
from service.http.connections.deadline import Deadline, nothing
from service.http.connections.joined_writes import JoinedWrites
from service.http.connections.overload import PUT_OFF_SECONDS, REFUSED_KEPT_SECONDS
from service.http.connections.streaming import HAND_OVER, StreamConnection, StreamOwner

LINGER_SECONDS: Final = 1.0
"""How long a refused client may read its response. Closing at once would reset the connection."""

ABANDONED: Final = "abandoned"
"""Set in the scope of a request whose client has left, before its task is cancelled."""


class DispatchingProtocol(HttpToolsProtocol):
    """One connection from a client, on which one request after the other is answered."""

    __slots__ = (
        "_admission",
        "_current",
        "_deadline",
        "_early",
        "_early_until",
        "_ended",
        "_in_body",
        "_parsing",
        "_refused",
        "_shut_down",
        "_task",
        "_unstarted",
        "_write_now",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline = Deadline(self.loop, self._hang_up)
        self._in_body = False
        self._refused = False
        self._ended = False
        self._shut_down = False
        # The request that is being answered; later ones wait in uvicorn's `pipeline`.
        self._current: RequestResponseCycle | None = None
        self._parsing = False
        # Until when the next request of a refused client comes early, and what it has sent.
        self._early_until = 0.0
        self._early = b""
        self._unstarted: ASGI3Application | None = None
        self._task: asyncio.Task[None] | None = None
        admission = getattr(self.app, "admission", None)
        self._admission = admission if isinstance(admission, Admission) else None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Join the parts of each response."""
        joined = JoinedWrites(transport, self.loop)
        super().connection_made(joined)
        self._write_now = joined.write_now

    def data_received(self, data: bytes) -> None:
        """Receive bytes, unless they come early."""
        if self._early_until and not self._in_body and self._put_off(data):
            return
        self._parsing = True
        self._parse(data)
        self._parsing = False
        self._start()

    def _parse(self, data: bytes) -> None:
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time limit, and the request that is being answered or waits."""
        self._deadline.end()
        # uvicorn tells the newest request only.
        for cycle in (self._current, self.cycle, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None:
                cycle.disconnected = True
                # They may be kept until garbage is collected, which is rare.
                cycle.body = bytearray()
                # It refers to this connection, which refers to the request.
                cycle.on_response = nothing
        super().connection_lost(exc)
        if self._current is None:
            return
        self._current.message_event.set()
        self._current.scope.pop(HAND_OVER, None)  # type: ignore[typeddict-item] # our own
        if self._task is not None and not self._task.done():
            self._current.scope[ABANDONED] = True  # type: ignore[typeddict-unknown-key] # our own
            # Not at once: a task that has not begun yet would end without its clean-up.
            self.loop.call_soon(self._task.cancel)
        else:
            self._leave_line(self._current)

    def shutdown(self) -> None:
        """Close the connection after the response that is being sent (uvicorn's hook)."""
        self._shut_down = True
        super().shutdown()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Start a request, but only after all received bytes are parsed (uvicorn's hook)."""
        self._current, self._unstarted = cycle, app
        if not self._parsing:
            self._start()

    def _start(self) -> None:
        if self._current is None or self._unstarted is None:
            return
        cycle, app = self._current, self._unstarted
        admission, self._unstarted = self._admission, None
        if admission is None:
            self._begin(cycle, app)
        elif not admission.admit(cycle.scope):  # type: ignore[arg-type] # uvicorn's own name for the type
            self._turn_away(cycle, admission)
        elif admission.begin(cycle.scope):  # type: ignore[arg-type] # as above
            self._begin(cycle, app)
        else:
            self._task = None
            # Another request's end begins this one, but not in the context of the other.
            begin = partial(self._begin, cycle, app, copy_context())
            give_up = partial(self._give_up, cycle, admission)
            if not admission.wait(cycle.scope, begin, give_up):  # type: ignore[arg-type] # as above
                give_up()

    def _begin(
        self, cycle: RequestResponseCycle, app: ASGI3Application, context: Context | None = None
    ) -> None:
        """Create the task of a request as uvicorn does, and keep it to cancel it later."""
        cycle.scope[HAND_OVER] = self._hand_over  # type: ignore[typeddict-unknown-key] # our own
        self._task = task = self.loop.create_task(cycle.run_asgi(app), context=context)
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _give_up(self, cycle: RequestResponseCycle, admission: Admission) -> None:
        """Refuse a request that has waited too long, or would have to."""
        admission.leave(cycle.scope)  # type: ignore[arg-type] # as above
        self._turn_away(cycle, admission)

    def _leave_line(self, cycle: RequestResponseCycle) -> bool:
        """Take a request out of the line. Return whether it was in it."""
        return self._admission is not None and self._admission.withdraw(cycle.scope)  # type: ignore[arg-type] # as above

    def _hand_over(self, owner: StreamOwner) -> StreamConnection | None:
        """Hand the connection over to a stream, whose response has begun (`HandOver`)."""
        cycle = self._current
        if cycle is None or cycle.scope["method"] == "HEAD" or self.transport.is_closing():
            return None
        if self._ended or self._refused:
            self._hang_up()
            return None
        self._deadline.end()
        self.pipeline.clear()
        self.flow.resume_reading()
        # uvicorn must neither complete the response nor keep what belongs to it in memory.
        cycle.disconnected = True
        cycle.scope.pop(HAND_OVER)  # type: ignore[typeddict-item] # our own
        self.parser = None  # type: ignore[assignment] # as uvicorn does when it is done
        self._current = self._task = None
        self.connections.discard(self)
        connection = StreamConnection(self.transport, owner, self.connections)
        if self._shut_down:
            # uvicorn has told all connections by now, and would wait for this one.
            self.loop.call_soon(connection.shutdown)
        return connection

    def _turn_away(self, cycle: RequestResponseCycle, admission: Admission) -> None:
        """Refuse a request that was not admitted. Its body is ignored, as uvicorn does then."""
        # A client that waits for 100 may send its body or not, so its next request would have no
        # clear start. What is pipelined behind a refusal would be refused at once as well, and so
        # would what comes early in one piece with the end of a refused body.
        early = self.loop.time() < self._early_until
        if cycle.waiting_for_100_continue or admission.closes or self.pipeline or early:
            cycle.keep_alive = False
        headers = self.server_state.default_headers
        if not cycle.keep_alive:
            headers = [*headers, (b"connection", b"close")]
        cycle.response_started = cycle.response_complete = True
        self._write_now(
            admission.overload.refusal(cycle.scope, headers, admission.in_flight)  # type: ignore[arg-type] # as above
        )
        if not cycle.keep_alive:
            self.transport.close()
        self.timeout_keep_alive = REFUSED_KEPT_SECONDS
        cycle.on_response()
        self.timeout_keep_alive = self.config.timeout_keep_alive
        self._early_until = self.loop.time() + PUT_OFF_SECONDS

    def _put_off(self, data: bytes) -> bool:
        """Keep bytes that come early, and stop reading. Return whether they do."""
        until, self._early_until = self._early_until, 0.0
        if self._admission is None or self.loop.time() >= until:
            return False
        self._early = data
        self.flow.pause_reading()
        context = copy_context()
        self._admission.overload.read_later(
            # Another request's end may cause this.
            lambda: self.loop.call_soon(self._read_on, context=context)
        )
        return True

    def _read_on(self) -> None:
        data, self._early = self._early, b""
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self.data_received(data)

    def _is_idle(self) -> bool:
        return not self.pipeline and (self._current is None or self._current.response_complete)

    def _hang_up(self) -> None:
        """Close the connection. Abort it soon if the client does not read the rest."""
        self.transport.close()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)
