"""The audit log of signing keys, revoked keys, and the keys that each replica knows.

`auth` adds rows to the first two and cannot change them. `app` reads revoked keys, and each replica
of the service records the keys that it knows.
"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the three tables."""
    op.execute("GRANT USAGE ON SCHEMA public TO auth")
    # Append-only. Columns without a grant, such as the time, cannot be forged.
    op.execute(
        """
        CREATE TABLE public.signing_key_events (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at timestamptz NOT NULL DEFAULT clock_timestamp(),
            operator text NOT NULL CHECK (char_length(operator) BETWEEN 1 AND 200),
            verb text NOT NULL CHECK (
                verb IN ('publish', 'activate', 'retire', 'prune', 'revoke', 'reencrypt')
            ),
            kid text NOT NULL CHECK (char_length(kid) BETWEEN 1 AND 255),
            algorithm text CHECK (char_length(algorithm) <= 20),
            reason text NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 500)
        )
        """
    )
    op.execute("GRANT SELECT ON public.signing_key_events TO auth")
    op.execute(
        "GRANT INSERT (operator, verb, kid, algorithm, reason) ON public.signing_key_events TO auth"
    )
    op.execute(
        """
        CREATE TABLE public.revoked_keys (
            kid text COLLATE "C" PRIMARY KEY CHECK (char_length(kid) BETWEEN 1 AND 255),
            revoked_at timestamptz NOT NULL DEFAULT clock_timestamp()
        )
        """
    )
    op.execute("GRANT SELECT ON public.revoked_keys TO app, auth")
    op.execute("GRANT INSERT (kid) ON public.revoked_keys TO auth")
    op.execute(
        """
        CREATE TABLE public.service_replicas (
            name text PRIMARY KEY CHECK (char_length(name) BETWEEN 1 AND 300),
            kids text[] NOT NULL CHECK (cardinality(kids) <= 200),
            algorithms text[] NOT NULL CHECK (cardinality(algorithms) <= 20),
            listening boolean NOT NULL,
            seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
        )
        """
    )
    op.execute("GRANT SELECT, INSERT, DELETE ON public.service_replicas TO app")
    op.execute(
        "GRANT UPDATE (kids, algorithms, listening, seen_at) ON public.service_replicas TO app"
    )
    op.execute("GRANT SELECT ON public.service_replicas TO auth")
