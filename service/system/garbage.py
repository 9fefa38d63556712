"""Keep garbage collections short and rare: all requests wait while one runs."""

import gc


def make_collections_rare() -> None:
    """Make collections rare. Call it before the imports of the application.

    The objects of a request are freed by their reference counts, without a collection. During the
    imports, collections free next to nothing, and took a quarter of the start.
    """
    gc.set_threshold(20_000, 20, 100)


def spare_what_there_is() -> None:
    """Exclude the objects that the start created: they live as long as the process."""
    gc.freeze()
