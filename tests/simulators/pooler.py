"""A transaction pooler in front of a test's database: a real PgBouncer, in CI Debian's 1.18."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.engine import make_url

from scripts.proofs.pgbouncer import find_pgbouncer, pgbouncer

needs_pgbouncer = pytest.mark.skipif(
    find_pgbouncer() is None and os.environ.get("CI") != "true",
    reason="pgbouncer is not installed; in CI it is",
)


@contextmanager
def pooled(url: str, *, connections: int) -> Iterator[str]:
    """Run a pooler with this number of connections to the server; yield the URL of role `app`."""
    direct = make_url(url)
    assert direct.port is not None
    assert direct.password is not None
    with pgbouncer(
        direct.port, user="app", password=direct.password, connections=connections
    ) as port:
        yield direct.set(port=port).render_as_string(hide_password=False)
