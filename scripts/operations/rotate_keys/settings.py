"""The settings of `rotate-keys`: the issuer's secrets, and the policy of its keys."""

from argparse import Namespace
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, SecretStr

from better_auth_keys import BASE_PATH, better_auth_jwks_url
from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets
from better_auth_keys.rotation.policy import RotationPolicy, signing_algorithms
from scripts.operations.commands import UsageError
from service.database.url import DatabaseUrl
from service.settings.base import SettingsModel
from service.settings.types import (
    BasePath,
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
    better_auth_base_path: BasePath = BASE_PATH
    jwks_url: KeyUrl | None = None
    ca_file: CertificatesFile | None = None

    @property
    def key_url(self) -> str | None:
        """The URL of the issuer's key set, if a setting names it.

        A `file:` URL does not count: it names the service's copy.
        """
        issuer = self.better_auth_internal_url or self.better_auth_url
        published = None if self.jwks_url and file_path(self.jwks_url) else self.jwks_url
        return published or (issuer and better_auth_jwks_url(issuer, self.better_auth_base_path))


def issuer_secrets(settings: RotationSettings, *, unencrypted: bool) -> IssuerSecrets:
    """Return the secrets that private keys are encrypted with. Raises `UsageError`."""
    plain, versioned = settings.better_auth_secret, settings.better_auth_secrets
    secrets = _secrets("BETTER_AUTH_SECRET", plain, versioned, unencrypted=unencrypted)
    if secrets is None:
        raise UsageError(
            "BETTER_AUTH_SECRET (or BETTER_AUTH_SECRETS): not set; it decrypts the issuer's private"
            " keys"
        )
    return secrets


def old_secrets(settings: RotationSettings, *, unencrypted: bool) -> IssuerSecrets | None:
    """Return the secrets from before, if they are set. Raises `UsageError`."""
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


def rotation_policy(
    options: Namespace, settings: RotationSettings, *, grace: timedelta | None = None
) -> RotationPolicy:
    """Return the policy of these options and settings. Raises `UsageError`."""
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
