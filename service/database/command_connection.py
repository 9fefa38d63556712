"""One database connection for a command: open it, use it, close it. Errors become one line."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from service.database.opening import Opener
from service.database.url import DatabaseUrl

_CONNECT_SECONDS: Final = 10


class DatabaseError(Exception):
    """The database cannot be reached, or it refused. The message is one line without the URL."""


@asynccontextmanager
async def connect(url: DatabaseUrl, *, autocommit: bool = False) -> AsyncIterator[AsyncConnection]:
    """Connect to a database. What is not committed in the block is rolled back.

    Raises `DatabaseError`, also for errors of the statements in the block.
    """
    opener = Opener(url, application="better-auth-resource-server command")
    engine = create_async_engine(
        "postgresql+asyncpg://",
        poolclass=NullPool,
        hide_parameters=True,
        async_creator=lambda: opener.open(_CONNECT_SECONDS),
        **({"isolation_level": "AUTOCOMMIT"} if autocommit else {}),
    )
    try:
        async with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise DatabaseError(first_line(error.orig)) from error
    except (OSError, TimeoutError) as error:
        raise DatabaseError(
            f"cannot reach the database on {url.place} ({type(error).__name__})"
        ) from error
    finally:
        await engine.dispose()


def first_line(error: BaseException | None) -> str:
    """Return the first line of the server's message, which holds neither SQL nor parameters."""
    # SQLAlchemy puts the class of the driver's error before the message.
    return str(error).partition("\n")[0].rpartition(">: ")[2]
