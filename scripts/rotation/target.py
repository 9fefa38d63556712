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
from keys.rotation_policy import RotationPolicy, signing_algorithms
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


class UnservedError(Exception):
    """What the issuer serves could not be asked; the message is one line."""


@dataclass(frozen=True)
class Target:
    """The keys, the policy, and whom to ask about both."""

    store: SigningKeyStore
    policy: RotationPolicy
    algorithms: tuple[str, ...]
    """The issuer's (SIGNING_ALGORITHM), its default first; the policy may be about others."""
    better_auth: BetterAuthSigningKeys | None
    """The store again, where it is Better Auth's table and not a file."""
    service_database: Database | None
    key_url: str | None
    plain_http_hosts: tuple[str, ...] = ()
    ca_file: str | None = None

    @classmethod
    def read(cls, options: Namespace) -> "Target":
        """Read where the keys are. Raises `UsageError`."""
        algorithms = issuer_algorithms()
        file = options.file or setting("SIGNING_KEYS_FILE")
        if file is not None:
            path = Path(file)
            if not path.parent.is_dir():
                raise UsageError(f"SIGNING_KEYS_FILE (--file): there is no folder {path.parent}")
            store = FileSigningKeys(path, algorithm=algorithms[0])
            policy = _policy(options, algorithms, grace=_FOR_EVER)
            return cls(store, policy, algorithms, None, None, None)
        policy = _policy(options, algorithms)
        better_auth = BetterAuthSigningKeys(
            _reach(database_url_from("AUTH_DATABASE_URL", meaning="Better Auth's database")),
            secrets=issuer_secrets(unencrypted=options.unencrypted),
            algorithm=algorithms[0],
            operator=operator(),
        )
        service = None
        if setting("DATABASE_URL") is not None:
            service = _reach(database_url_from("DATABASE_URL", meaning="the service's database"))
        origin = setting("BETTER_AUTH_INTERNAL_URL") or setting("BETTER_AUTH_URL")
        return cls(
            better_auth,
            policy,
            algorithms,
            better_auth,
            service,
            setting("JWKS_URL") or (origin and origin.rstrip("/") + JWKS_PATH),
            _listed("PLAIN_HTTP_HOSTS"),
            setting("CA_FILE"),
        )

    async def served(self) -> frozenset[str]:
        """Ask the issuer for the kids that it serves. Raises `UnservedError`."""
        if isinstance(self.store, FileSigningKeys):
            return frozenset(signer.kid for signer in self.store.ring.served())
        if self.key_url is None:
            raise UnservedError("BETTER_AUTH_URL: not set; it names the issuer to ask")
        try:
            fetcher = JwksFetcher(
                self.key_url,
                algorithms=ALGORITHMS,
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
        return frozenset(snapshot.keys if snapshot is not None else ())

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


def issuer_algorithms() -> tuple[str, ...]:
    """Read what Better Auth is configured to sign with, its default first. Raises `UsageError`."""
    if setting("SIGNING_ALGORITHM") is None:
        return ("EdDSA",)
    try:
        return signing_algorithms(_listed("SIGNING_ALGORITHM"))
    except ValueError as error:
        raise UsageError(f"SIGNING_ALGORITHM: {error}") from None


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


def _listed(name: str) -> tuple[str, ...]:
    entries = (entry.strip() for entry in (setting(name) or "").split(","))
    return tuple(entry for entry in entries if entry)


def _policy(
    options: Namespace, algorithms: tuple[str, ...], *, grace: timedelta | None = None
) -> RotationPolicy:
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
    chosen = (options.algorithm,) if options.algorithm else algorithms
    pinned = frozenset(_listed("PINNED_KEYS"))
    try:
        return RotationPolicy(algorithms=chosen, pinned=pinned, **given)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _reach(url: DatabaseUrl) -> Database:
    return Database(url.dsn, url.ssl_argument())
