"""Whose keys are rotated, under which policy: read from the environment, `.env` and options."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from keys.better_auth import BetterAuthSigningKeys, Database, Verifier
from keys.better_auth_secrets import IssuerSecrets
from keys.fetch import FetchError, FetchLimits, JwksFetcher
from keys.jwk import ALGORITHMS
from keys.key_set import LeftOutKey
from keys.rotation import RotationPolicy
from keys.signing_keys import KeyStoreError, SigningKeyStore
from keys.verifier import JWKS_PATH
from scripts.commands import UsageError, database_url_from, operator, setting
from scripts.durations import parse_duration
from scripts.signing_key_file import FileSigningKeys
from service.database_url import DatabaseUrl

# A key in a file is served until it is pruned.
_FOR_EVER: Final = timedelta(days=36_500)
_FETCH_SECONDS: Final = 5.0
# The spans of the policy, and where each comes from if no option says it: a setting of web/, or the
# policy's own default.
POLICY_OPTIONS: Final[Mapping[str, str]] = {
    "publish_ahead": "",
    "sign_for": "",
    "keep_verifying": "",
    "prune_after": "",
    "learning_time": "",
    "grace_period": "JWKS_GRACE_PERIOD",
    "token_lifetime": "ACCESS_TOKEN_LIFETIME",
}


@dataclass(frozen=True)
class Served:
    """What the issuer serves: keys that can be used, by kid, and others."""

    kids: frozenset[str]
    left_out: tuple[LeftOutKey, ...] = ()


class UnservedError(Exception):
    """What the issuer serves could not be asked; the message is one line."""


@dataclass(frozen=True)
class Target:
    """The keys, the policy, and whom to ask about both."""

    store: SigningKeyStore
    policy: RotationPolicy
    better_auth: BetterAuthSigningKeys | None
    """The store again, where it is Better Auth's table and not a file."""
    service_database: Database | None
    key_url: str | None
    plain_http_hosts: tuple[str, ...] = ()
    ca_file: str | None = None

    @classmethod
    def read(cls, options: Namespace) -> "Target":
        """Read where the keys are. Raises `UsageError`."""
        file = options.file or setting("SIGNING_KEYS_FILE")
        if file is not None:
            path = Path(file)
            if not path.parent.is_dir():
                raise UsageError(f"SIGNING_KEYS_FILE (--file): there is no folder {path.parent}")
            return cls(FileSigningKeys(path), _policy(options, grace=_FOR_EVER), None, None, None)
        policy = _policy(options)
        store = BetterAuthSigningKeys(
            _reach(database_url_from("AUTH_DATABASE_URL", meaning="Better Auth's database")),
            secrets=issuer_secrets(unencrypted=options.unencrypted),
            algorithm=policy.algorithm,
            operator=operator(),
        )
        service = None
        if setting("DATABASE_URL") is not None:
            service = _reach(database_url_from("DATABASE_URL", meaning="the service's database"))
        origin = setting("BETTER_AUTH_INTERNAL_URL") or setting("BETTER_AUTH_URL")
        hosts = (setting("PLAIN_HTTP_HOSTS") or "").split(",")
        return cls(
            store,
            policy,
            store,
            service,
            setting("JWKS_URL") or (origin and origin.rstrip("/") + JWKS_PATH),
            tuple(host.strip() for host in hosts if host.strip()),
            setting("CA_FILE"),
        )

    async def served(self) -> Served:
        """Ask the issuer for the keys that it serves. Raises `UnservedError`."""
        if isinstance(self.store, FileSigningKeys):
            return Served(frozenset(signer.kid for signer in self.store.ring.served()))
        if self.key_url is None:
            raise UnservedError("BETTER_AUTH_URL: not set; it names the issuer to ask")
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
        assert snapshot is not None  # noqa: S101 - nothing was fetched before, so it is all new
        return Served(frozenset(snapshot.keys), snapshot.left_out)

    async def verifiers(self) -> list[Verifier]:
        """Give the replicas of the service that have been heard of lately."""
        return [] if self.better_auth is None else await self.better_auth.verifiers()

    async def why_service_hears_nothing(self) -> str | None:
        """Say what keeps the service from hearing of changes, if its database is another one."""
        if self.better_auth is None:
            return None
        if self.service_database is None:
            return "DATABASE_URL is not set: not checked whether the service hears of this"
        try:
            shared = await self.better_auth.shares_database_with(self.service_database)
        except KeyStoreError as error:
            return f"DATABASE_URL: {error}: not checked whether the service hears of this"
        if shared:
            return None
        return (
            "AUTH_DATABASE_URL and DATABASE_URL name different databases: the service learns of"
            " keys by its own refreshes only, and never of revoked ones"
        )


def issuer_secrets(*, unencrypted: bool) -> IssuerSecrets:
    """Read Better Auth's secrets from its own variables. Raises `UsageError`."""
    secrets = _secrets("", unencrypted=unencrypted)
    if secrets is None:
        raise UsageError(
            "BETTER_AUTH_SECRET (or BETTER_AUTH_SECRETS): not set; the issuer's private keys are"
            " encrypted with it"
        )
    return secrets


def old_secrets(*, unencrypted: bool) -> IssuerSecrets | None:
    """Read what private keys were encrypted with before, if that is said. Raises `UsageError`."""
    return _secrets("OLD_", unencrypted=unencrypted)


def _secrets(prefix: str, *, unencrypted: bool) -> IssuerSecrets | None:
    names = [f"{prefix}BETTER_AUTH_SECRET", f"{prefix}BETTER_AUTH_SECRETS"]
    plain, versions = (setting(name) for name in names)
    given = plain is not None or versions is not None
    if unencrypted and given:
        raise UsageError(f"{names[0]} is set, and you say that there is none")
    if not (unencrypted or given):
        return None
    try:
        return IssuerSecrets.parse(plain, versions)
    except ValueError as error:
        raise UsageError(f"{names[1]}: {error}") from None


def _policy(options: Namespace, *, grace: timedelta | None = None) -> RotationPolicy:
    given: dict[str, timedelta] = {}
    for name, variable in POLICY_OPTIONS.items():
        text = getattr(options, name) or setting(variable)
        if text:
            try:
                given[name] = parse_duration(text)
            except ValueError as error:
                where = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"{where if getattr(options, name) else variable}: {error}"
                ) from None
    if grace is not None:
        given["grace_period"] = grace
    if "grace_period" not in given:
        raise UsageError(
            "JWKS_GRACE_PERIOD: not set; it is Better Auth's jwks.gracePeriod (30d unless web/ sets"
            " it), for how long a retired key is served"
        )
    algorithm = options.algorithm or setting("SIGNING_ALGORITHM") or "EdDSA"
    try:
        return RotationPolicy(algorithm=algorithm, **given)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _reach(url: DatabaseUrl) -> Database:
    return Database(url.dsn, url.ssl_argument())
