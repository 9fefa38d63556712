"""The database schema as Alembic migrations; `service.migrations.runner` applies them."""
