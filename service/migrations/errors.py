"""Errors of the migrations, which `migrate` reports in one line."""


class MigrationError(Exception):
    """The migrations cannot be applied. The message is one line that says what to do."""


class NewerSchemaError(MigrationError):
    """A newer release has migrated the database, so this release has nothing to apply."""
