"""What `rotate-keys` works on: the keys, their policy, the issuer and the service."""

from argparse import Namespace
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from better_auth_keys import ALGORITHMS, FetchError, FetchLimits, JwksFetcher, LeftOutKey
from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets
from better_auth_keys.rotation.better_auth.store import (
    BetterAuthSigningKeys,
    DatabaseAddress,
    Replica,
)
from better_auth_keys.rotation.policy import RotationPolicy
from better_auth_keys.rotation.store import KeyStoreError, SigningKeyStore
from scripts.operations.commands import UsageError, load, operator
from scripts.operations.rotate_keys.key_file import FileSigningKeys
from scripts.operations.rotate_keys.settings import (
    RotationSettings,
    issuer_secrets,
    old_secrets,
    rotation_policy,
)
from service.database.url import DatabaseUrl

# Keys in a file are served until they are pruned.
_FOR_EVER: Final = timedelta(days=36_500)
_FETCH_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Served:
    """What the issuer serves: the kids of usable keys, and the keys that were left out."""

    kids: frozenset[str]
    left_out: tuple[LeftOutKey, ...] = ()


class UnservedError(Exception):
    """The issuer's key set could not be fetched. The message is one line."""


@dataclass(frozen=True)
class Target:
    """The keys, the policy, and where both can be checked."""

    store: SigningKeyStore
    policy: RotationPolicy
    algorithms: tuple[str, ...]
    """The issuer's algorithms (SIGNING_ALGORITHM), the default first. The policy's may differ."""
    better_auth: BetterAuthSigningKeys | None
    """The same store, if it is Better Auth's table and not a file."""
    service_database: DatabaseAddress | None
    key_url: str | None
    plain_http_hosts: tuple[str, ...] = ()
    ca_file: str | None = None
    old_secrets: IssuerSecrets | None = None
    """The secrets that private keys were encrypted with before, if they are set."""

    @classmethod
    def read(cls, options: Namespace) -> "Target":
        """Read the target from settings and options. Raises `UsageError`."""
        settings = load(RotationSettings)
        algorithms = settings.signing_algorithm
        path = options.file or settings.signing_keys_url
        if path is not None:
            if not path.parent.is_dir():
                raise UsageError(f"SIGNING_KEYS_URL (--file): there is no folder {path.parent}")
            store = FileSigningKeys(path, algorithm=algorithms[0])
            policy = rotation_policy(options, settings, grace=_FOR_EVER)
            return cls(store, policy, algorithms, None, None, None)
        policy = rotation_policy(options, settings)
        if settings.auth_database_url is None:
            raise UsageError("AUTH_DATABASE_URL: not set; it names Better Auth's database")
        better_auth = BetterAuthSigningKeys(
            _reach(settings.auth_database_url),
            secrets=issuer_secrets(settings, unencrypted=options.unencrypted),
            algorithm=algorithms[0],
            operator=operator(),
        )
        return cls(
            better_auth,
            policy,
            algorithms,
            better_auth,
            None if settings.database_url is None else _reach(settings.database_url),
            settings.key_url,
            settings.plain_http_hosts,
            None if settings.ca_file is None else str(settings.ca_file),
            old_secrets=old_secrets(settings, unencrypted=options.old_unencrypted),
        )

    async def served(self) -> Served:
        """Return the keys that the issuer serves. Raises `UnservedError`."""
        if isinstance(self.store, FileSigningKeys):
            return Served(frozenset(signer.kid for signer in self.store.contents.served()))
        if self.key_url is None:
            raise UnservedError("BETTER_AUTH_URL: not set; it names the issuer")
        try:
            fetcher = JwksFetcher(
                self.key_url,
                algorithms=ALGORITHMS.keys(),
                plain_http_hosts=self.plain_http_hosts,
                ca_file=self.ca_file,
                limits=FetchLimits(total=_FETCH_SECONDS),
                transport=None,
            )
        except (ValueError, OSError) as error:
            raise UnservedError(f"BETTER_AUTH_URL, JWKS_URL, CA_FILE: {error}") from None
        try:
            snapshot = (await fetcher.fetch(has_keys=False)).snapshot
        except FetchError as error:
            raise UnservedError(f"{self.key_url}: {error}") from None
        finally:
            await fetcher.close()
        assert snapshot is not None  # noqa: S101 - a first fetch always has one
        return Served(frozenset(snapshot.keys), snapshot.left_out)

    async def replicas(self) -> list[Replica]:
        """Return the replicas of the service that reported recently."""
        return [] if self.better_auth is None else await self.better_auth.replicas()

    async def why_not_notified(self) -> str | None:
        """Return why the service is not notified of changes, or None if it is."""
        if self.better_auth is None:
            return None
        if self.service_database is None:
            return "DATABASE_URL is not set: cannot check whether the service is notified"
        try:
            shared = await self.better_auth.shares_database_with(self.service_database)
        except KeyStoreError as error:
            return f"DATABASE_URL: {error}: cannot check whether the service is notified"
        if shared:
            return None
        return (
            "AUTH_DATABASE_URL and DATABASE_URL name different databases, so the service is not"
            " notified: it learns of new keys at its next refresh, and never of revoked keys"
        )


def _reach(url: DatabaseUrl) -> DatabaseAddress:
    return DatabaseAddress(url.dsn, url.ssl_argument())
