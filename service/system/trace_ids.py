"""The ids of the span that is being recorded, for lines of the logs.

They come from `service/tracing/`, which is imported only if spans are exported.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

NO_IDS: Final[Mapping[str, str]] = MappingProxyType({})


class _Source:
    ids: Callable[[], Mapping[str, str]] | None = None


def show_trace_ids(ids: Callable[[], Mapping[str, str]] | None) -> None:
    """Set what returns the ids from now on; None ends it."""
    _Source.ids = None if ids is None else staticmethod(ids)


def trace_ids() -> Mapping[str, str]:
    """Return `trace_id` and `span_id` of the span that is being recorded, or nothing."""
    return NO_IDS if _Source.ids is None else _Source.ids()
