"""The `KeySet` protocol, snapshots of a key set, and keys from values or from a file."""

import json
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, Protocol, Self

from better_auth_keys.clock import Clock, SystemClock
from better_auth_keys.errors import KeySetUnavailableError
from better_auth_keys.tokens.jwk import (
    DEFAULT_ALGORITHMS,
    MAX_KID_LENGTH,
    UnusableKey,
    UnusableKeyError,
    VerificationKey,
    algorithm_set,
    parse_jwk,
)

logger = logging.getLogger("better_auth_keys")

MAX_KEYS_IN_SET: Final = 100
MAX_DOCUMENT_BYTES: Final = 256 * 1024

KeySetState = Literal["fresh", "stale", "unavailable"]


class MalformedKeySetError(Exception):
    """A document is not a JWK set, or has no usable key."""


@dataclass(frozen=True, slots=True)
class LeftOutKey:
    """A member of a JWK set that is not used. Tokens signed with it are refused."""

    place: int
    """Its index in the set."""
    kid: str | None
    """None if it has no kid, or one that is not printable."""
    reason: UnusableKey

    def __str__(self) -> str:
        return f"{self.kid or f'number {self.place + 1}'} ({self.reason})"


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """The keys of an issuer at one moment. It is replaced as a whole, never changed."""

    keys: Mapping[str, VerificationKey]
    left_out: tuple[LeftOutKey, ...] = ()

    @classmethod
    def of(cls, keys: Iterable[VerificationKey]) -> Self:
        """Create a snapshot from parsed keys."""
        return cls(MappingProxyType({key.kid: key for key in keys}))


@dataclass(frozen=True, slots=True)
class KeySetStatus:
    """The status of a key set, for operators. Ages and delays are in seconds."""

    state: KeySetState
    kids: tuple[str, ...]
    left_out: tuple[LeftOutKey, ...] = ()
    age: float | None = None
    next_refresh_in: float | None = None
    last_error: str | None = None
    fetches: int = 0
    failures: int = 0


class KeySet(Protocol):
    """The keys of one issuer."""

    async def find(self, kid: str) -> VerificationKey | None:
        """Return the key with this kid, or None if the issuer has no such key.

        Raises `KeySetUnavailableError` if neither is known.
        """
        ...

    async def replacement(self, key: VerificationKey) -> VerificationKey | None:
        """Return the other key that the issuer now has under the kid of `key`, or None."""
        ...

    def status(self) -> KeySetStatus:
        """Return the status of the set, without waiting."""
        ...

    async def refresh(self) -> None:
        """Fetch the keys again, even if they are fresh, and wait for the answer.

        Raises `KeySetUnavailableError` if the issuer does not answer in time.
        """
        ...

    async def start(self) -> None:
        """Start the background work of the set, if it has any."""
        ...

    async def stop(self) -> None:
        """Stop the background work. `find` still returns the keys that are known."""
        ...


def parse_jwks(document: bytes, algorithms: str | Collection[str]) -> KeySnapshot:
    """Parse a JWK set (RFC 7517 section 5). Keys that cannot be used are left out.

    If two different keys have the same kid, both are left out, because the kid is ambiguous.

    Raises `MalformedKeySetError` if there is no usable key: an empty set must never replace a good
    one.
    """
    try:
        value = json.loads(document)
    except (ValueError, RecursionError):
        raise MalformedKeySetError("not JSON") from None
    members = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(members, list):
        raise MalformedKeySetError("not a JWK set")
    if len(members) > MAX_KEYS_IN_SET:
        raise MalformedKeySetError(f"more than {MAX_KEYS_IN_SET} keys")
    usable: list[tuple[int, VerificationKey]] = []
    left_out: list[LeftOutKey] = []
    distinct: dict[str, set[VerificationKey]] = {}
    for place, member in enumerate(members):
        try:
            key = parse_jwk(member, algorithms)
        except UnusableKeyError as error:
            left_out.append(LeftOutKey(place, _shown_kid(member), error.reason))
        else:
            usable.append((place, key))
            distinct.setdefault(key.kid, set()).add(key)
    keys = {key.kid: key for _, key in usable if len(distinct[key.kid]) == 1}
    left_out += [
        LeftOutKey(place, _shown_kid({"kid": key.kid}), UnusableKey.DUPLICATE_KEY_ID)
        for place, key in usable
        if key.kid not in keys
    ]
    if not keys:
        reasons = ", ".join(sorted({key.reason for key in left_out}))
        raise MalformedKeySetError(f"no usable key ({reasons})" if reasons else "no usable key")
    left_out.sort(key=lambda key: key.place)
    return KeySnapshot(MappingProxyType(keys), tuple(left_out))


def _shown_kid(member: object) -> str | None:
    """Return the kid of a member if it is printable."""
    kid = member.get("kid") if isinstance(member, dict) else None
    shown = isinstance(kid, str) and len(kid) <= MAX_KID_LENGTH and kid.isprintable()
    return kid if shown else None


class StaticKeySet:
    """Keys from values, or from a JWKS file that is read again when it changes.

    The file is checked on use, at most once a second. If it becomes unreadable or has no usable
    key, the keys that were read before stay in use.
    """

    _LOOK_EVERY: Final = 1.0

    def __init__(self, keys: Iterable[VerificationKey], *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._snapshot: KeySnapshot | None = KeySnapshot.of(keys)
        self._path: Path | None = None
        self._algorithms = DEFAULT_ALGORITHMS
        self._seen: tuple[int, int, int] | None = None
        self._looked_at = float("-inf")
        self._error: str | None = None

    @classmethod
    def from_file(
        cls,
        path: Path,
        *,
        algorithms: str | Collection[str] = DEFAULT_ALGORITHMS,
        clock: Clock | None = None,
    ) -> Self:
        """Create a key set from a JWKS file, which may not exist yet."""
        key_set = cls((), clock=clock)
        key_set._snapshot, key_set._path = None, path
        key_set._algorithms = algorithm_set(algorithms)
        return key_set

    async def find(self, kid: str) -> VerificationKey | None:
        """Return the key with this kid. Raises `KeySetUnavailableError` while there is no file."""
        self._look()
        if self._snapshot is None:
            raise KeySetUnavailableError("the JWKS file cannot be used", retry_after=1)
        return self._snapshot.keys.get(kid)

    async def replacement(self, key: VerificationKey) -> VerificationKey | None:
        """Return the other key that a changed file now has under the kid of `key`, or None."""
        self._look()
        known = self._snapshot.keys.get(key.kid) if self._snapshot is not None else None
        return None if known == key else known

    def status(self) -> KeySetStatus:
        """Return the status of the set."""
        self._look()
        if self._snapshot is None:
            return KeySetStatus("unavailable", (), last_error=self._error)
        state: KeySetState = "stale" if self._error else "fresh"
        return KeySetStatus(
            state, tuple(self._snapshot.keys), self._snapshot.left_out, last_error=self._error
        )

    async def refresh(self) -> None:
        """Read the file again if it has changed. Raises `KeySetUnavailableError` if that fails."""
        self._looked_at = float("-inf")
        self._look()
        if self._snapshot is None or self._error is not None:
            raise KeySetUnavailableError("the JWKS file cannot be used", retry_after=1)

    async def start(self) -> None:
        """Read the file."""
        self._look()

    async def stop(self) -> None:
        """Do nothing, because there is no background work."""

    def _look(self) -> None:
        """Read the file if it has changed. It is small and local, so no thread is needed."""
        now = self._clock.monotonic()
        if self._path is None or now - self._looked_at < self._LOOK_EVERY:
            return
        self._looked_at = now
        try:
            about = self._path.stat()
            seen = (about.st_mtime_ns, about.st_size, about.st_ino)
            if seen == self._seen:
                return
            if about.st_size > MAX_DOCUMENT_BYTES:
                raise MalformedKeySetError("too large")
            self._snapshot = parse_jwks(self._path.read_bytes(), self._algorithms)
        except (OSError, MalformedKeySetError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            text = f"{self._path}: {reason}"
            if text != self._error:
                logger.warning("the JWKS file cannot be used: %s", text)
            self._error = text
        else:
            self._seen, self._error = seen, None
