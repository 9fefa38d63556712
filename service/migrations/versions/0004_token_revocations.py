"""Revocations of tokens before they expire: of a user, of a session, or of everyone.

The service adds a row at a sign-out, operators (as `auth`) with `revoke-tokens`, and `purge`
removes rows that no longer affect any token.
"""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the table."""
    op.execute(
        """
        CREATE TABLE public.token_revocations (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at timestamptz NOT NULL DEFAULT clock_timestamp(),
            kind text NOT NULL CHECK (kind IN ('subject', 'session', 'everyone')),
            value text COLLATE "C" NOT NULL CHECK (char_length(value) <= 255),
            operator text NOT NULL CHECK (char_length(operator) BETWEEN 1 AND 200),
            reason text NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 500),
            CONSTRAINT token_revocations_value CHECK ((kind = 'everyone') = (value = ''))
        )
        """
    )
    op.execute("CREATE INDEX token_revocations_at ON public.token_revocations (at)")
    op.execute("GRANT SELECT ON public.token_revocations TO app, auth")
    op.execute(
        "GRANT INSERT (kind, value, operator, reason) ON public.token_revocations TO app, auth"
    )
    # Whatever the role `purge` runs, it cannot remove a revocation that is still needed.
    op.execute("ALTER TABLE public.token_revocations ENABLE ROW LEVEL SECURITY")
    op.execute(
        """
        CREATE POLICY token_revocations_of_everybody ON public.token_revocations TO app, auth
        USING (true) WITH CHECK (true)
        """
    )
    op.execute(
        """
        CREATE POLICY token_revocations_past_meeting ON public.token_revocations TO purge
        USING (at < now() - interval '2 days')
        """
    )
    op.execute("GRANT SELECT (id, at), DELETE ON public.token_revocations TO purge")
