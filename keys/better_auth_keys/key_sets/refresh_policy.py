"""`RefreshPolicy`: the times of a `RemoteKeySet`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RefreshPolicy:
    """When a `RemoteKeySet` fetches its keys, and how long it keeps them. Times are in seconds."""

    default_lifetime: float = 300
    """How long a set is fresh if the issuer sends no `max-age` (Better Auth sends none)."""
    min_lifetime: float = 30
    max_lifetime: float = 3600
    stale_window: float = 24 * 3600
    """How long keys are used after that while the issuer cannot be reached."""
    cool_down: float = 1
    max_wait: float = 2
    max_waiters: int = 4000
    unknown_memory: float = 2
    unknown_memory_size: int = 4096
    max_backoff: float = 60
    max_pause: float = 300
    """The longest `Retry-After` that is obeyed, so that a wrong value does not stop all fetches."""
