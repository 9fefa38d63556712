"""`Supervisor`: the parent of several worker processes, which share one port.

uvicorn's own supervisor ends all workers if one cannot be started again, with exit code 0.

1. One worker is started first, so that mistakes in the settings are reported once. Until it has
   started, requests wait. If it ends by itself before, the parent ends too, with exit code 1: most
   likely no other worker can start either. The others are started after it.
2. After that, a worker that ends, or that does not answer for 5 s (30 s while it starts), is
   started again after growing pauses (`Restarts`). The others serve meanwhile.
3. While no worker serves, the parent answers requests with 503. Only during the first attempt to
   replace a worker that ended, requests wait.
4. SIGTERM is passed on to the workers, which drain, and then the parent ends. A second SIGTERM, or
   SIGINT, makes them stop at once. Each worker counts these signals once (`worker.py`), because a
   process group gets them too.
5. SIGHUP is ignored, as in a process without workers.
"""

import logging
import os
import signal
import socket
import time
from multiprocessing.connection import wait
from typing import Final, Protocol

from uvicorn import Config
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from service.system.restarts import Restarts
from service.system.stand_in import answer_unavailable

logger = logging.getLogger("service")

_LOOK_SECONDS: Final = 0.5
_ANSWER_SECONDS: Final = 5.0
_START_SECONDS: Final = 30.0
"""A worker that starts answers after its imports, which take longer on a busy machine."""
_FIRST_LOOK_SECONDS: Final = 0.05
"""How often to look whether the first worker has started."""

CANNOT_START: Final = 4
"""The exit code of a worker that cannot start and has reported why."""


class Ended(Protocol):
    """What to do when a worker has ended."""

    def __call__(self, pid: int, *, served: bool) -> None:
        """Handle the end of a worker, which had started completely if it `served`."""
        ...


class Worker(Process):
    """A worker process, which creates the application before its event loop runs."""

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Run the worker. The check before the start has an event loop of its own."""
        self.config.load()
        super().target(sockets)

    def join(self) -> None:
        """Wait for the end of the worker. The parent logs it."""
        self.process.join()


class Supervisor(Multiprocess):
    """Runs `config.workers` processes. `exit_code` is 0 after a signal, and 1 after a failure."""

    def __init__(self, config: Config, sockets: list[socket.socket], *, ended: Ended) -> None:
        super().__init__(config, sockets)
        # Ignored signals stay ignored in the workers.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.exit_code = 0
        self._ended = ended
        self._has_served = False
        self._restarts: dict[Process, Restarts] = {}
        # Of the workers that are not started yet.
        self._waiting: list[Restarts] = []
        # When each worker was asked whether it has started, until it answers.
        self._asked: dict[Process, float] = {}

    def run(self) -> None:
        """Run the workers until a signal arrives, or until the first of them cannot start."""
        now = time.monotonic()
        self._waiting = [Restarts(now, due_at=now) for _ in range(self.processes_num)]
        self._start_waiting()
        while not self.should_exit.is_set():
            self._wait()
            self.handle_signals()
            self.keep_subprocess_alive()
        while running := self._running():
            wait([process.process.sentinel for process in running], timeout=_LOOK_SECONDS)
            self.handle_signals()

    def keep_subprocess_alive(self) -> None:
        """Check every worker. Start those that ended again when their pause is over."""
        for index, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            restarts = self._restarts.setdefault(process, Restarts(time.monotonic()))
            if restarts.due_at is None:
                if self._is_well(process, restarts):
                    continue
                if self.signal_queue:  # a signal to the whole group may have ended the worker
                    return
                self._bury(process, restarts)
            if restarts.is_due(time.monotonic()):
                self._restart(index)
        if not self.should_exit.is_set():
            self._start_waiting()

    def _is_well(self, process: Process, restarts: Restarts) -> bool:
        """Return whether the worker runs and answers, without waiting for an answer.

        uvicorn's `is_alive` waits 5 s for a worker that is just ending.
        """
        if process.exitcode is not None:
            return False
        now, link, asked_at = time.monotonic(), process.parent_conn, self._asked.get(process)
        if asked_at is None:
            link.send(b"ping")
            self._asked[process] = now
            return True
        if link.poll():
            has_started: bool = link.recv()
            del self._asked[process]
            if has_started and not restarts.served:
                restarts.serve()
                if not self._has_served:
                    logger.info("serving on %s port %s", self.config.host, self.config.port)
                self._has_served = True
                logger.info("worker %s serves", process.pid)
            return True
        return now - asked_at < (_ANSWER_SECONDS if restarts.served else _START_SECONDS)

    def handle_term(self) -> None:
        """Ask the workers to drain, or stop them at the second call."""
        self._stop(signal.SIGINT if self.should_exit.is_set() else signal.SIGTERM)

    def handle_int(self) -> None:
        """Stop the workers."""
        self._stop(signal.SIGINT)

    def _stop(self, number: signal.Signals) -> None:
        self.should_exit.set()
        for process in self._running():
            assert process.pid is not None  # noqa: S101 - it was started
            os.kill(process.pid, number)

    def _running(self) -> list[Process]:
        return [process for process in self.processes if process.exitcode is None]

    def _wait(self) -> None:
        """Wait for a moment, or until a worker ends."""
        if self._can_serve():
            sentinels = [process.process.sentinel for process in self._running()]
            wait(sentinels, timeout=_LOOK_SECONDS if self._has_served else _FIRST_LOOK_SECONDS)
        else:
            answer_unavailable(self.sockets, seconds=_LOOK_SECONDS)

    def _can_serve(self) -> bool:
        """Return whether a worker serves, or is being started and likely to serve soon."""
        return any(
            process not in self._restarts or not self._restarts[process].failing
            for process in self._running()
        )

    def _bury(self, process: Process, restarts: Restarts) -> None:
        process.kill()  # it may hang
        process.join()
        self._asked.pop(process, None)
        assert process.pid is not None  # noqa: S101 - it was started
        self._ended(process.pid, served=restarts.served)
        what = f"worker {process.pid} ended (exit code {process.exitcode})"
        # A worker that was killed, as for want of memory, may have started since it was last asked.
        if not self._has_served and (process.exitcode or 0) >= 0:
            if process.exitcode != CANNOT_START:
                logger.error("%s before any worker had started: stopping; the cause is above", what)
            self.exit_code = 1
            self._stop(signal.SIGINT)
            return
        pause = restarts.end(time.monotonic())
        running = f"{len(self._running())} of {self.processes_num} are running"
        logger.warning("%s: starting another one in %.0f s; %s", what, pause, running)

    def _restart(self, index: int) -> None:
        process = self.processes[index]
        if self._start(self._restarts[process], index):
            del self._restarts[process]

    def _start_waiting(self) -> None:
        """Start the first worker, or all others if one has started."""
        most = self.processes_num if self._has_served else 1
        for restarts in self._waiting[: most - len(self.processes)]:
            if restarts.is_due(time.monotonic()) and self._start(restarts):
                self._waiting.remove(restarts)

    def _start(self, restarts: Restarts, index: int | None = None) -> bool:
        """Start a worker, in the place of an earlier one with `index`. Return whether it runs."""
        restarts.start(time.monotonic())
        try:
            process = Worker(self.config, self.sockets)
            process.start()
        except OSError as error:
            # No memory, process or file is left. The other workers still serve.
            pause = restarts.end(time.monotonic())
            logger.warning("cannot start a worker (%s): trying again in %.0f s", error, pause)
            return False
        self._restarts[process] = restarts
        if index is None:
            self.processes.append(process)
        else:
            self.processes[index] = process
        return True
