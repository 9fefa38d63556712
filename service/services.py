"""`Services`: the parts of one running service. `app.py` creates them and routes use them.

`Front` adds them to the scope of every request.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.requests import HTTPConnection

from better_auth_keys import AccessTokenVerifier, KeySet, VerificationPolicy
from service.accounts.issuer_client import BetterAuth
from service.accounts.sessions import Sessions
from service.database.execution import Database
from service.events.hub import TaskEvents
from service.http.connections.admission import Admission
from service.http.draining import Draining
from service.security.audit import NotFoundWatch, SecurityLog
from service.security.key_watch import KeyWatch
from service.security.rate_limits import RateLimits
from service.tasks.cursor import CursorSigner

if TYPE_CHECKING:  # it needs an extra
    from service.tracing.spans import Tracing

SCOPE_KEY: Final = "services"


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that operations use. `own_url` is None if SERVICE_URL is not set."""

    database: Database
    watch_database: Database
    """A pool of one connection for `key_watch`, so that a busy pool cannot delay a revocation."""
    policy: VerificationPolicy
    current_audiences: frozenset[str]
    """The audiences of `policy` without the previous one, whose tokens are counted."""
    key_set: KeySet
    verifier: AccessTokenVerifier
    key_watch: KeyWatch
    rate_limits: RateLimits
    security_log: SecurityLog
    not_found: NotFoundWatch
    better_auth: BetterAuth
    sessions: Sessions
    cursors: CursorSigner
    events: TaskEvents | None
    """None if TASK_EVENTS is off."""
    draining: Draining
    admission: Admission
    own_url: str | None
    account_api: bool
    max_tasks: int
    require_verified_email: bool
    tracing: "Tracing | None"
    """None if no spans are exported."""


def services_of(request: HTTPConnection) -> Services:
    """Return the parts of the service that handles the request."""
    services = request.scope[SCOPE_KEY]
    assert isinstance(services, Services)  # noqa: S101 - front.py sets nothing else
    return services
