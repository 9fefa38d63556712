"""A service on the stage of the drills."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import psutil

from scripts.operations.private_files import last_line
from scripts.proofs.drills.system.connection import Answer, Connection
from scripts.proofs.drills.system.program import Program
from scripts.proofs.drills.system.waiting import POLL_SECONDS, StageError

_START_SECONDS: Final = 60.0


@dataclass
class Service:
    """One `python -m service`, and the port that it listens on."""

    port: int
    program: Program

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes that serve, as the log of the first process says."""
        return [
            process
            for process in self.program.processes()[1:]
            if self.program.said(f"worker {process.pid} serves")
        ]

    async def ask(
        self, method: str, path: str, *, token: str | None = None, patience: float = 30.0
    ) -> Answer | None:
        """Send one request on a new connection."""
        connection = Connection(self.port)
        try:
            return await connection.ask(method, path, token=token, patience=patience)
        finally:
            connection.close()

    async def must_answer(
        self, method: str, path: str, *, token: str, body: Mapping[str, object] | None = None
    ) -> Answer:
        """Send one request on a new connection. Raises `StageError` if there is no answer."""
        connection = Connection(self.port)
        try:
            answer = await connection.ask(method, path, token=token, body=body)
        finally:
            connection.close()
        if answer is None:
            raise StageError(f"no answer to {method} {path}")
        return answer

    async def status(self, path: str) -> int | None:
        """Return the status of a GET, or None if there is no answer."""
        answer = await self.ask("GET", path)
        return None if answer is None else answer.status

    async def until_ready(self, seconds: float = _START_SECONDS) -> None:
        """Wait until `/readyz` is 200. Raises `StageError`."""
        deadline = time.monotonic() + seconds
        while await self.status("/readyz") != HTTPStatus.OK:
            if not self.program.running or time.monotonic() > deadline:
                said = last_line(self.program.log)
                raise StageError(f"the service is not ready after {seconds:.0f} s: {said}")
            await asyncio.sleep(POLL_SECONDS)

    async def until_all_serve(self, workers: int, seconds: float = _START_SECONDS) -> None:
        """Wait until so many workers serve: the first makes `/readyz` 200. Raises `StageError`."""
        deadline = time.monotonic() + seconds
        while len(self.workers()) < workers:
            if not self.program.running or time.monotonic() > deadline:
                raise StageError(f"{len(self.workers())} of {workers} workers serve")
            await asyncio.sleep(POLL_SECONDS)
