"""Keep revocations as long as the revoked session could get new access tokens.

A session lives for `session_lifetime` after its last use, and an issuer that does not know of the
revocation keeps issuing tokens for it. So the time counts from the last token that was refused, and
`purge` removes the row after the lifetime of the session plus that of the longest token.
"""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns, their grants, an index to look values up, and purge's new policy."""
    op.execute(
        """
        ALTER TABLE public.token_revocations
            ADD COLUMN session_lifetime interval NOT NULL DEFAULT '7 days'
                CHECK (session_lifetime BETWEEN '1 day' AND '400 days'),
            ADD COLUMN refused_at timestamptz
        """
    )
    # web/ looks up every session that it uses.
    op.execute("CREATE INDEX token_revocations_value ON public.token_revocations (kind, value, at)")
    op.execute("GRANT INSERT (session_lifetime) ON public.token_revocations TO app, auth")
    # This can only extend a revocation: `at` cannot be changed, and the later of the two counts.
    op.execute("GRANT UPDATE (refused_at) ON public.token_revocations TO app")
    op.execute("DROP POLICY token_revocations_past_meeting ON public.token_revocations")
    # Two days is longer than any token lives.
    op.execute(
        """
        CREATE POLICY token_revocations_past_meeting ON public.token_revocations TO purge
        USING (greatest(at, refused_at) < now() - session_lifetime - interval '2 days')
        """
    )
    op.execute("GRANT SELECT (refused_at, session_lifetime) ON public.token_revocations TO purge")
