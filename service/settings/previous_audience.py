"""The audience of tokens before web/ signed for `SERVICE_URL`: still accepted in one release.

The next release removes this module, its call in `model.py`, and what names it: a search for
`previous_audience` finds every place (decision 0048).
"""

from typing import Final

LAST_RELEASE: Final = "0.1.0"
"""The last release that accepts the previous audience. A test fails in the next one."""


def accepted_for_one_release(current: frozenset[str], issuer_origin: str) -> frozenset[str]:
    """Return the accepted audiences: the current ones, and the origin of `BETTER_AUTH_URL`.

    A service and a web/ of this release and of the one before can then run at the same time.
    """
    return current | {issuer_origin}
