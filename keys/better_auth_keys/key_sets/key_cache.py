"""`KeyCache`: the last good key set in a file, for a process that starts while the issuer is down.

The rules, in order:

1. Each combination of key URL and issuers has its own file. The file is named by their hash, and
   contains both, so that the keys of another issuer are never used.
2. A file is read only if it is a regular file (no symbolic link), belongs to the user of the
   process, and cannot be accessed by other users. Its keys are checked as if they were fetched.
3. The file contains the time when its keys were fetched, so that the stale window continues. It is
   not used if that time is in the future. The clock of the boot is compared as well: within one
   boot of the machine, setting the wall clock back does not make keys younger.
4. A file is replaced atomically, so several processes can share a folder. It is written only if the
   keys changed or the time in it is old, and never if it has the result of a later fetch.
5. A file that cannot be read or written causes a warning in the log, and nothing else.

Only usable public keys are written. This module needs a POSIX system.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Final, Self

from better_auth_keys.key_sets.key_set import KeySnapshot, MalformedKeySetError, parse_jwks
from better_auth_keys.key_sets.private_file import read_private, replace_private
from better_auth_keys.string_sets import string_set

logger = logging.getLogger("better_auth_keys")

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_STOP_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment by the wall clock and by the clock of this boot. `boot` is empty if unknown."""

    wall: float
    uptime: float
    boot: str

    def since(self, earlier: Self) -> float | None:
        """Return the seconds since `earlier`, or None if the wall clock was set back."""
        elapsed = self.wall - earlier.wall
        if elapsed < 0:
            return None
        return max(elapsed, self.uptime - earlier.uptime) if self._same_boot(earlier) else elapsed

    def precedes(self, other: Self) -> bool:
        """Return whether `other` is certainly later."""
        return self._same_boot(other) and self.uptime < other.uptime

    def _same_boot(self, other: Self) -> bool:
        return bool(self.boot) and self.boot == other.boot


@dataclass(frozen=True, slots=True)
class CachedKeys:
    """The keys of a file. `age` is the time since they were fetched, in seconds."""

    snapshot: KeySnapshot
    age: float


class KeyCache:
    """A folder in which `RemoteKeySet` keeps the last good key set. Several processes can share it.

    `folder` must exist. `issuers` are the issuers whose tokens the keys verify: keys that were kept
    for others are not used. `now` returns Unix seconds, and `uptime` seconds since the machine was
    started.
    """

    def __init__(
        self,
        folder: Path,
        *,
        issuers: str | Collection[str] = (),
        now: Callable[[], float] = time.time,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._issuers = sorted(string_set(issuers, "issuers"))
        self._now = now
        self._uptime = uptime
        try:
            self._boot = _BOOT_ID.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            self._boot = ""

    def moment(self) -> Moment:
        """Return the current moment."""
        return Moment(self._now(), self._uptime(), self._boot)

    def file_of(self, url: str, algorithms: str | Collection[str]) -> "CachedKeyFile":
        """Return the file for the keys of `url`, which need not exist."""
        name = sha256(json.dumps([url, self._issuers]).encode()).hexdigest()[:32]
        source: dict[str, object] = {"url": url, "issuers": self._issuers}
        return CachedKeyFile(self, self._folder / f"jwks-{name}.json", source, algorithms)


@dataclass(frozen=True, slots=True)
class _Contents:
    """The contents of a file: the members of a JWK set, and when their fetch began."""

    members: list[object]
    fetched: Moment


class CachedKeyFile:
    """The file with the keys of one URL."""

    def __init__(
        self,
        cache: KeyCache,
        path: Path,
        source: dict[str, object],
        algorithms: str | Collection[str],
    ) -> None:
        self._cache = cache
        self._path = path
        self._source = source
        self._algorithms = algorithms
        self._members: list[object] = []
        self._newest: tuple[_Contents, float] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._last_error: str | None = None

    def moment(self) -> Moment:
        """Return the current moment, for `keep`."""
        return self._cache.moment()

    def read(self) -> CachedKeys | None:
        """Return the keys of the file, or None if it does not exist or must not be used."""
        try:
            contents = self._contents()
            age = self._cache.moment().since(contents.fetched)
            if age is None:
                raise ValueError("the time of its fetch is in the future: the clock was set back")
            document = json.dumps({"keys": contents.members}).encode()
            snapshot = parse_jwks(document, self._algorithms)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError, MalformedKeySetError) as error:
            self._failed("is not used", error)
            return None
        return CachedKeys(snapshot, age)

    def keep(
        self, document: bytes | None, snapshot: KeySnapshot | None, begun: Moment, lag: float
    ) -> None:
        """Write fetched keys in a thread, without waiting. Both are None if they did not change.

        `begun` is when the fetch began. The file is left alone if it has the same keys and its time
        is at most `lag` seconds before that.
        """
        if document is not None and snapshot is not None:
            left_out = {key.place for key in snapshot.left_out}
            members = json.loads(document)["keys"]
            self._members = [
                member for place, member in enumerate(members) if place not in left_out
            ]
        self._newest = _Contents(self._members, begun), lag
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_newest(), name="jwks-cache")

    async def settle(self) -> None:
        """Wait until the last write ends, but not for a disk that hangs."""
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=_STOP_SECONDS)

    async def _write_newest(self) -> None:
        while self._newest is not None:
            contents, lag = self._newest
            self._newest = None
            await asyncio.to_thread(self._write, contents, lag)

    def _contents(self) -> _Contents:
        """Return the contents of the file. Raises `OSError`, `ValueError` or `RecursionError`."""
        value = json.loads(read_private(self._path))
        try:
            if {name: value[name] for name in self._source} != self._source:
                raise ValueError("it belongs to another issuer")
            fetched = Moment(value["fetched_at"], value["uptime"], value["boot"])
            members = value["keys"]
            timed = isfinite(fetched.wall) and isfinite(fetched.uptime)
        except (KeyError, TypeError):
            raise ValueError("it is damaged") from None
        if not (timed and isinstance(members, list) and members):
            raise ValueError("it is damaged")
        return _Contents(members, fetched)

    def _write(self, new: _Contents, lag: float) -> None:
        try:
            if self._is_due(new, lag):
                text = json.dumps(
                    {
                        **self._source,
                        "fetched_at": new.fetched.wall,
                        "uptime": new.fetched.uptime,
                        "boot": new.fetched.boot,
                        "keys": new.members,
                    }
                )
                replace_private(self._path, text.encode())
        except (OSError, ValueError, RecursionError) as error:
            self._failed("cannot be written", error)
        else:
            self._last_error = None

    def _is_due(self, new: _Contents, lag: float) -> bool:
        try:
            old = self._contents()
        except (OSError, ValueError, RecursionError):
            return True
        if new.fetched.precedes(old.fetched):
            return False
        behind = new.fetched.since(old.fetched)
        return old.members != new.members or behind is None or behind > lag

    def _failed(self, what: str, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        text = f"{self._path} {what}: {reason}"
        if text != self._last_error:
            logger.warning("the cached key set %s", text)
        self._last_error = text
