"""What a contestant's process is told, what it tells, and the face that every library is given."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self

Answer = Literal["good", "refused", "undecided", "error"]
"""`refused` is a 401, `undecided` a 503; `error` is what an app would answer with a 500."""

Answers = dict[Answer, int]

FETCH_SECONDS: Final = 0.5
CROWD: Final = 50
STALL_RUNS: Final = 5
TTL_SECONDS: Final = 1.0
OUTAGE_REQUESTS: Final = 20
SEQUENCE_SECONDS: Final = 4.0
SEQUENCE_RATE: Final = 20
LOAD_SECONDS: Final = 4.0
LOAD_RATE: Final = 200
LOAD_REQUESTS: Final = int(LOAD_SECONDS * LOAD_RATE)
UNKNOWN_KIDS: Final = CROWD + int(SEQUENCE_SECONDS * SEQUENCE_RATE)


class Contestant(Protocol):
    """One library's key source and verifier, with an empty cache when it is made."""

    async def start(self) -> None:
        """Do what an app does at its start."""
        ...

    async def verify(self, token: str) -> Answer:
        """Verify a token as the library's documentation has an async app do it."""
        ...

    async def stop(self) -> None:
        """Do what an app does at its end."""
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What a contestant's verifier is made from."""

    adapter: str
    distribution: str
    jwks_url: str
    issuer: str
    audience: str
    algorithm: str
    authority: str | None = None
    """The file of the certificate authority behind an https issuer."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a contestant's process is to do."""

    settings: Settings
    control_port: int
    has_ttl: bool
    """Whether the library lets an app say how long keys are fresh."""
    in_sequence: bool
    """Whether unknown kids are sent one after the other, too."""
    good: list[str]
    """Tokens of the key that is published from the start."""
    unknown: list[str]
    """Tokens with kids that are never published, each its own."""
    rotated: list[str]
    """Tokens of the key that appears in mid-load."""

    def write(self, path: Path) -> None:
        """Write it for `read`."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        told: dict[str, Any] = json.loads(path.read_text())
        return cls(**{**told, "settings": Settings(**told["settings"])})


@dataclass(slots=True)
class Measured:
    """What a contestant's process measured. Milliseconds where nothing else is said."""

    version: str
    python: str
    idle_stalls: list[float] = field(default_factory=list)
    """What the ticker shows where there is nothing to do."""
    stalls: list[float] = field(default_factory=list)
    wall_stalls: list[float] = field(default_factory=list)
    """`stalls` with what other programs on the machine added to them."""
    cold_fetches: int = 0
    cold: Answers = field(default_factory=dict)
    unknown_fetches: int = 0
    unknown: Answers = field(default_factory=dict)
    sequence_fetches: list[float] | None = None
    """When the fetches began, in seconds from the first unknown kid."""
    outage_refused: Answers | None = None
    """Answers while connections are refused; None where no TTL can be set."""
    outage_failing: Answers | None = None
    """Answers while the issuer says 500; None where no TTL can be set."""
    rotation: Answers = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it for `read`."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        return cls(**json.loads(path.read_text()))
