"""A clock and timers that tests move."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class FakeClock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeTimer:
    seconds: float
    call: Callable[[], object]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class FakeLoop:
    timers: list[FakeTimer] = field(default_factory=list)

    def call_later(
        self, seconds: float, call: Callable[..., object], *arguments: object
    ) -> FakeTimer:
        self.timers.append(FakeTimer(seconds, lambda: call(*arguments)))
        return self.timers[-1]
