"""The migrations of this release, and those that a database lacks."""

from pathlib import Path
from types import ModuleType
from typing import Final

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection

from service.migrations.errors import MigrationError, NewerSchemaError

FOLDER: Final = Path(__file__).parent
_AUTOCOMMIT: Final = "AUTOCOMMIT"


def config() -> Config:
    """Return Alembic's configuration, which names the folder of the migrations."""
    made = Config()
    made.set_main_option("script_location", str(FOLDER))
    return made


def unapplied(connection: Connection) -> list[Script]:
    """Return the migrations that the database lacks, oldest first.

    Raises `NewerSchemaError`, or `MigrationError` if another application migrated the database.
    """
    applied = MigrationContext.configure(connection).get_current_revision()
    scripts = list(ScriptDirectory.from_config(config()).walk_revisions())
    known = [script.revision for script in scripts]
    if applied is None:
        return scripts[::-1]
    if applied in known:
        return scripts[: known.index(applied)][::-1]
    if applied.isdecimal() and applied > known[0]:
        raise NewerSchemaError(
            f"the database is at migration {applied} of a newer release, and this release ends at"
            f" {known[0]}; nothing was changed, because migrations are never undone. This release"
            " can serve if the newer one's changelog says that it works with the previous release;"
            " otherwise run the newer release, or restore a backup"
        )
    raise MigrationError(
        f"the table alembic_version has {applied}, which is no migration of this service; check"
        " that MIGRATION_DATABASE_URL names the service's own database"
    )


def name_of(script: Script) -> str:
    """Return the number of a migration and its title."""
    title = script.doc.partition("\n")[0].rstrip(".")
    return f"{script.revision} {title}"


def is_autocommit(module: ModuleType) -> bool:
    """Return whether a migration runs outside of a transaction, which CONCURRENTLY needs."""
    return getattr(module, _AUTOCOMMIT, False) is True
