"""Which keys are rotated, and by which policy: from the environment, `.env` and options."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, SecretStr

from better_auth_keys import ALGORITHMS, JWKS_PATH, FetchError, FetchLimits, JwksFetcher, LeftOutKey
from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets
from better_auth_keys.rotation.better_auth.store import (
    BetterAuthSigningKeys,
    DatabaseAddress,
    Replica,
)
from better_auth_keys.rotation.policy import RotationPolicy, signing_algorithms
from better_auth_keys.rotation.store import KeyStoreError, SigningKeyStore
from scripts.operations.commands import UsageError, load, operator
from scripts.operations.rotate_keys.key_file import FileSigningKeys
from service.database.url import DatabaseUrl
from service.settings.base import SettingsModel
from service.settings.types import (
    CertificatesFile,
    CommaSeparated,
    Duration,
    Hosts,
    HttpKeyUrl,
    KeyFile,
    KeyUrl,
    ServiceDatabaseUrl,
    file_path,
    parsed,
)

# Keys in a file are served until they are pruned.
_FOR_EVER: Final = timedelta(days=36_500)
_FETCH_SECONDS: Final = 5.0
# The durations of the policy, and the setting of web/ for each that has one. The others have a
# default in the policy.
POLICY_OPTIONS: Final[Mapping[str, str]] = {
    "publish_ahead": "",
    "sign_for": "",
    "keep_verifying": "",
    "prune_after": "",
    "learning_time": "",
    "grace_period": "JWKS_GRACE_PERIOD",
    "token_lifetime": "ACCESS_TOKEN_LIFETIME",
}
VersionedSecrets = Annotated[
    IssuerSecrets, parsed(IssuerSecrets, lambda text: IssuerSecrets.parse(None, text))
]


SigningAlgorithms = Annotated[CommaSeparated, AfterValidator(signing_algorithms)]


class RotationSettings(SettingsModel):
    """Where the signing keys are, and what web/ and the service do with them."""

    signing_keys_url: KeyFile | None = None
    """A file of signing keys, for development without Better Auth:
    `file:///path/to/signing-keys.json`. `rotate-keys` then works on that file, and `mint-token`
    signs with it."""

    auth_database_url: DatabaseUrl | None = None
    """PostgreSQL as role `auth`, whose search_path is the schema `auth`: Better Auth's database."""

    database_url: ServiceDatabaseUrl | None = None

    better_auth_secret: SecretStr | None = None
    """Better Auth's secret, at least 32 characters. Private keys are encrypted with it. The service
    never has it."""

    better_auth_secrets: VersionedSecrets | None = None
    """Better Auth's versioned secrets, the current one first: `2:new,1:old`. `BETTER_AUTH_SECRET`
    then decrypts what was encrypted before there were versions."""

    old_better_auth_secret: SecretStr | None = None
    """For `rotate-keys reencrypt`: the secret that the private keys were encrypted with before."""

    old_better_auth_secrets: VersionedSecrets | None = None
    """For `rotate-keys reencrypt`: the versioned secrets from before."""

    signing_algorithm: SigningAlgorithms = ("EdDSA",)
    """Algorithms that web/ signs with, the default first, comma-separated: among EdDSA, ES256,
    ES512, RS256 and PS256. The service must accept each of them (`JWT_ALGORITHMS`)."""

    pinned_keys: CommaSeparated = ()
    """The kids that a `signingKeyId` in Better Auth's configuration names, comma-separated.
    `rotate-keys` does not retire or revoke these keys without `--force`."""

    access_token_lifetime: Duration | None = None
    """How long an access token is valid."""

    jwks_grace_period: Duration | None = None
    """How long a retired key is served. `rotate-keys` has no default for it, so that it cannot
    differ from web/'s."""

    plain_http_hosts: Hosts = ()
    better_auth_url: str | None = None
    better_auth_internal_url: HttpKeyUrl | None = None
    jwks_url: KeyUrl | None = None
    ca_file: CertificatesFile | None = None

    @property
    def key_url(self) -> str | None:
        """The URL of the issuer's key set, if a setting names it.

        A `file:` URL does not count: it names the service's copy.
        """
        issuer = self.better_auth_internal_url or self.better_auth_url
        published = None if self.jwks_url and file_path(self.jwks_url) else self.jwks_url
        return published or (issuer and issuer.rstrip("/") + JWKS_PATH)


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
            policy = _policy(options, settings, grace=_FOR_EVER)
            return cls(store, policy, algorithms, None, None, None)
        policy = _policy(options, settings)
        if settings.auth_database_url is None:
            raise UsageError("AUTH_DATABASE_URL: not set; it names Better Auth's database")
        better_auth = BetterAuthSigningKeys(
            _reach(settings.auth_database_url),
            secrets=_issuer_secrets(settings, unencrypted=options.unencrypted),
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
            old_secrets=_old_secrets(settings, unencrypted=options.old_unencrypted),
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


def _issuer_secrets(settings: RotationSettings, *, unencrypted: bool) -> IssuerSecrets:
    plain, versioned = settings.better_auth_secret, settings.better_auth_secrets
    secrets = _secrets("BETTER_AUTH_SECRET", plain, versioned, unencrypted=unencrypted)
    if secrets is None:
        raise UsageError(
            "BETTER_AUTH_SECRET (or BETTER_AUTH_SECRETS): not set; it decrypts the issuer's private"
            " keys"
        )
    return secrets


def _old_secrets(settings: RotationSettings, *, unencrypted: bool) -> IssuerSecrets | None:
    plain, versioned = settings.old_better_auth_secret, settings.old_better_auth_secrets
    return _secrets("OLD_BETTER_AUTH_SECRET", plain, versioned, unencrypted=unencrypted)


def _secrets(
    name: str, plain: SecretStr | None, versioned: IssuerSecrets | None, *, unencrypted: bool
) -> IssuerSecrets | None:
    given = plain is not None or versioned is not None
    if unencrypted and given:
        raise UsageError(f"{name} is set, but the options say that private keys are not encrypted")
    if not (unencrypted or given):
        return None
    return IssuerSecrets(
        None if plain is None else plain.get_secret_value(),
        {} if versioned is None else versioned.versions,
    )


def _policy(
    options: Namespace, settings: RotationSettings, *, grace: timedelta | None = None
) -> RotationPolicy:
    given: dict[str, timedelta] = {}
    for name, variable in POLICY_OPTIONS.items():
        span = getattr(options, name)
        if span is None and variable:
            span = getattr(settings, variable.lower())
        if span is not None:
            given[name] = span
    if grace is not None:
        given["grace_period"] = grace
    if "grace_period" not in given:
        raise UsageError(
            "JWKS_GRACE_PERIOD: not set; it is how long Better Auth serves a retired key"
            " (jwks.gracePeriod, 30d unless web/ sets it)"
        )
    chosen = (options.algorithm,) if options.algorithm else settings.signing_algorithm
    try:
        return RotationPolicy(algorithms=chosen, pinned=frozenset(settings.pinned_keys), **given)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _reach(url: DatabaseUrl) -> DatabaseAddress:
    return DatabaseAddress(url.dsn, url.ssl_argument())
