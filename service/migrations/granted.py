"""The rights that the migrations grant on tables, and those of the role `revocations_reader`.

That role is optional, so no migration names it. `migrate` grants its rights when it exists.
"""

from dataclasses import dataclass
from typing import Final

from service.migrations.roles import REVOCATIONS_READER

_APP: Final = "app"
_AUTH: Final = "auth"
_PURGE: Final = "purge"
_OWN_ROWS: Final = "owner_id = (SELECT nullif(current_setting('app.user_id', true), ''))"
_OWNED: Final = f"USING ({_OWN_ROWS}) WITH CHECK ({_OWN_ROWS})"


@dataclass(frozen=True)
class Grant:
    """Privileges of a role on a table of schema `public`, or on some of its columns."""

    role: str
    table: str
    privileges: tuple[str, ...]
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """A policy of a table of schema `public`. `rest` follows the table's name.

    It is needed when `role` has rights.
    """

    name: str
    table: str
    rest: str
    role: str = _APP


GRANTS: Final = (
    Grant(_APP, "tasks", ("SELECT", "INSERT")),
    Grant(
        _APP,
        "tasks",
        ("UPDATE",),
        (
            *("title", "description", "completed", "priority", "due_at", "updated_at"),
            *("completed_at", "version", "deleted_at"),
        ),
    ),
    Grant(_PURGE, "tasks", ("SELECT",), ("owner_id", "id", "deleted_at")),
    Grant(_PURGE, "tasks", ("DELETE",)),
    Grant(_APP, "task_counts", ("SELECT", "INSERT")),
    Grant(_APP, "task_counts", ("UPDATE",), ("live",)),
    Grant(_APP, "idempotency_keys", ("SELECT", "INSERT")),
    Grant(_APP, "idempotency_keys", ("UPDATE",), ("request_hash", "reply", "created_at")),
    Grant(_PURGE, "idempotency_keys", ("SELECT",), ("owner_id", "key", "created_at")),
    Grant(_PURGE, "idempotency_keys", ("DELETE",)),
    Grant(_AUTH, "signing_key_events", ("SELECT",)),
    Grant(
        _AUTH,
        "signing_key_events",
        ("INSERT",),
        ("operator", "verb", "kid", "algorithm", "reason"),
    ),
    Grant(_APP, "revoked_keys", ("SELECT",)),
    Grant(_AUTH, "revoked_keys", ("SELECT",)),
    Grant(_AUTH, "revoked_keys", ("INSERT",), ("kid",)),
    Grant(_APP, "service_replicas", ("SELECT", "INSERT", "DELETE")),
    Grant(_APP, "service_replicas", ("UPDATE",), ("kids", "algorithms", "listening", "seen_at")),
    Grant(_AUTH, "service_replicas", ("SELECT",)),
    *(Grant(role, "token_revocations", ("SELECT",)) for role in (_APP, _AUTH)),
    *(
        Grant(
            role,
            "token_revocations",
            ("INSERT",),
            ("kind", "value", "operator", "reason", "session_lifetime"),
        )
        for role in (_APP, _AUTH)
    ),
    Grant(_APP, "token_revocations", ("UPDATE",), ("refused_at",)),
    Grant(_PURGE, "token_revocations", ("SELECT",), ("id", "at", "refused_at", "session_lifetime")),
    Grant(_PURGE, "token_revocations", ("DELETE",)),
    *(
        Grant(REVOCATIONS_READER, table, ("SELECT",))
        for table in ("revoked_keys", "token_revocations")
    ),
)
POLICIES: Final = (
    Policy("tasks_of_their_owner", "tasks", _OWNED),
    Policy(
        "tasks_past_restoring", "tasks", "TO purge USING (deleted_at < now() - interval '30 days')"
    ),
    Policy("task_counts_of_their_owner", "task_counts", _OWNED),
    Policy("idempotency_keys_of_their_owner", "idempotency_keys", _OWNED),
    Policy(
        "idempotency_keys_past_replaying",
        "idempotency_keys",
        "TO purge USING (created_at < now() - interval '24 hours')",
    ),
    Policy(
        "token_revocations_of_everybody",
        "token_revocations",
        "TO app, auth USING (true) WITH CHECK (true)",
    ),
    Policy(
        "token_revocations_past_meeting",
        "token_revocations",
        "TO purge USING (greatest(at, refused_at) < now() - session_lifetime - interval '2 days')",
    ),
    Policy(
        "token_revocations_of_readers",
        "token_revocations",
        f"FOR SELECT TO {REVOCATIONS_READER} USING (true)",
        role=REVOCATIONS_READER,
    ),
)
