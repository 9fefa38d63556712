"""Hears at once of what operators do to the issuer's keys, and tells them what this replica knows.

Operators' commands NOTIFY. Then, in this order: the revoked keys are loaded anew, so that a stolen
key is refused before anything else is asked for; the issuer's keys are fetched; and what this
replica knows now is written down, for a key to be activated when every replica knows it. Behind it
stands a slow look at the same, over the pool, for when nobody is listening.
"""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final

from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError

from keys import KeySet, KeySetUnavailableError, RevocationList
from service.database import AnyRow, Database, DatabaseUnavailableError
from service.database_url import DatabaseUrl
from service.listener import Listener

logger = logging.getLogger("service")

CHANNEL: Final = "signing_keys"
LOOK_SECONDS: Final = 30.0
"""How late a change is seen when nobody is listening."""
_RETRY_SECONDS: Final = 1.0
_NAME_LENGTH: Final = 300

_REVOKED: Final = text("SELECT kid FROM public.revoked_keys")
_REPORT: Final = text(
    "INSERT INTO public.service_replicas (name, kids, algorithms, listening)"
    " VALUES (:name, CAST(:kids AS text[]), CAST(:algorithms AS text[]), :listening)"
    " ON CONFLICT (name) DO UPDATE SET kids = excluded.kids, algorithms = excluded.algorithms,"
    " listening = excluded.listening, seen_at = clock_timestamp()"
)
_LEAVE: Final = text("DELETE FROM public.service_replicas WHERE name = :name")
_FORGET: Final = text(
    "DELETE FROM public.service_replicas WHERE seen_at < now() - interval '1 day'"
)


class KeyWatch:
    """Keeps the revoked keys and the key set up to date with what operators do."""

    def __init__(
        self,
        database: Database,
        direct_url: DatabaseUrl,
        key_set: KeySet,
        *,
        algorithms: Collection[str],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._database = database
        self._look_seconds = look_seconds
        self._key_set = key_set
        self._algorithms = sorted(algorithms)
        self._name = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(3)}"[-_NAME_LENGTH:]
        self._changed = asyncio.Event()
        self._listener = Listener(direct_url, CHANNEL, self._changed.set)
        self._tasks: list[asyncio.Task[None]] = []
        self._loaded_at: float | None = None
        self._failing = False
        self.revocations = RevocationList()

    @property
    def listening(self) -> bool:
        """Whether changes are heard of at once."""
        return self._listener.listening

    @property
    def age(self) -> float | None:
        """How long ago the revoked keys were loaded, in seconds; None if never."""
        return None if self._loaded_at is None else time.monotonic() - self._loaded_at

    async def start(self) -> None:
        """Load the revoked keys, if the database can be reached, and go on in the background."""
        await self._load()
        self._tasks = [
            asyncio.create_task(self._listener.run(), name="key-listener"),
            asyncio.create_task(self._run(), name="key-watch"),
        ]

    async def stop(self) -> None:
        """End the background work, and count as a replica no longer."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
            await self._attempt(_LEAVE, {"name": self._name})
        self._tasks = []

    async def _run(self) -> None:
        await self._attempt(_FORGET, {})
        changed = False
        while True:
            well = await self._load()
            if changed:
                await self._fetch_keys()
            well = await self._report() and well
            # Until the first keys are there, what was reported is soon out of date.
            settled = well and self._key_set.status().state != "unavailable"
            changed = await self._wait_for_change(
                self._look_seconds if settled else min(self._look_seconds, _RETRY_SECONDS)
            )

    async def _wait_for_change(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    async def _load(self) -> bool:
        rows = await self._attempt(_REVOKED, {})
        if rows is None:
            return False
        self.revocations.replace(kids=[row[0] for row in rows])
        self._loaded_at = time.monotonic()
        return True

    async def _fetch_keys(self) -> None:
        # The key set says what keeps it from fetching, and goes on trying by itself.
        with suppress(KeySetUnavailableError):
            await self._key_set.refresh()

    async def _report(self) -> bool:
        report = {
            "name": self._name,
            "kids": list(self._key_set.status().kids),
            "algorithms": self._algorithms,
            "listening": self.listening,
        }
        return await self._attempt(_REPORT, report) is not None

    async def _attempt(
        self, statement: TextClause, parameters: Mapping[str, object]
    ) -> Sequence[AnyRow] | None:
        """Execute a statement; None, and one line in the log, if that cannot be done just now."""
        try:
            rows = await self._database.execute(statement, parameters)
        except (DatabaseUnavailableError, DBAPIError) as error:
            if not self._failing:
                kind = type(getattr(error, "orig", error)).__name__
                logger.warning("cannot look at the revoked keys (%s); trying again", kind)
            self._failing = True
            return None
        self._failing = False
        return rows
