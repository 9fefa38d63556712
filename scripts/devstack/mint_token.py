"""Sign a token with a local key, for development without Better Auth.

    mint-token --subject ada                     a token for ada, valid for 15 minutes
    mint-token --subject ada --scope tasks:read  a token that can only read tasks
    mint-token --subject ada --out token.txt     write it to a new private file

Signs with the active key of SIGNING_KEYS_URL (or --file), which `./scripts/dev --api` creates and
`rotate-keys` rotates. The issuer is the origin of BETTER_AUTH_URL; the audience is SERVICE_URL, or
the same origin without it. ./scripts/ops sets all of these. Refuses to run unless ENVIRONMENT is
development.
Exit codes: 0 done, 1 failed, 2 usage.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator

from better_auth_keys import Signer, VerificationPolicy, origin_of
from better_auth_keys.rotation.store import KeyStoreError
from scripts.operations.commands import Parser, UsageError, duration, load
from scripts.operations.exit_codes import DONE, USAGE, fail
from scripts.operations.private_files import create_private
from scripts.operations.rotate_keys.key_file import FileSigningKeys
from scripts.operations.rotate_keys.settings import SigningAlgorithms
from service.settings.base import SettingsModel
from service.settings.types import KeyFile, Origin

KEY_FILE: Final = "signing-keys.json"
LIFETIME: Final = timedelta(hours=1)
USER: Final = {"sub": "dev-user", "name": "Dev User", "email": "dev-user@example.com"}
_MAX_SUBJECT: Final = 255


class MintSettings(SettingsModel):
    """Where the key is, and the issuer and audience of its tokens."""

    environment: str = "production"
    signing_keys_url: KeyFile | None = None
    signing_algorithm: SigningAlgorithms = ("EdDSA",)
    better_auth_url: Annotated[str, AfterValidator(origin_of)] = "http://localhost:3000"
    service_url: Origin | None = None


async def provide_signer(folder: Path) -> Signer:
    """Return the active key in the folder, created at its first use. Raises `KeyStoreError`.

    The public keys are in `jwks.json`.
    """
    store = FileSigningKeys(folder / KEY_FILE)
    signer = store.contents.signer()
    if signer is None:
        signer = Signer.generate("EdDSA")
        async with store.changing("the first key") as transaction:
            await transaction.publish(signer)
    store.publish_again()
    return signer


def mint(
    signer: Signer,
    claims: Mapping[str, object],
    *,
    lifetime: timedelta = LIFETIME,
    now: float | None = None,
) -> str:
    """Sign `claims` with the times that they need, as Better Auth would."""
    issued = int(time.time() if now is None else now)
    times = {"iat": issued, "exp": issued + int(lifetime.total_seconds())}
    return signer.mint({**claims, **times})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        token = _mint(options)
        _write(token, options)
    except UsageError as error:
        return fail("mint-token", error, USAGE)
    except KeyStoreError as error:
        return fail("mint-token", error)
    except OSError as error:
        return fail("mint-token", f"{error.filename}: {error.strerror}")
    return DONE


def _mint(options: argparse.Namespace) -> str:
    settings = load(MintSettings)
    if settings.environment != "development":
        raise UsageError("only for ENVIRONMENT=development: in production Better Auth signs tokens")
    path = options.file or settings.signing_keys_url
    if path is None:
        raise UsageError(
            "SIGNING_KEYS_URL: not set; it names the file of a local issuer's keys, which"
            " ./scripts/dev --api creates (with web/, Better Auth signs the tokens)"
        )
    if not 0 < len(options.subject) <= _MAX_SUBJECT or not options.subject.isprintable():
        raise UsageError(f"--subject must have 1 to {_MAX_SUBJECT} printable characters")
    longest = VerificationPolicy("https://issuer", "https://issuer").max_lifetime
    if not 0 < options.lifetime.total_seconds() <= longest:
        raise UsageError(f"--lifetime must be positive and at most {longest:.0f}s")
    origin = settings.better_auth_url
    claims = {"sub": options.subject, "iss": options.issuer or origin}
    claims["aud"] = options.audience or settings.service_url or origin
    if options.scope is not None:
        claims["scope"] = options.scope
    signer = FileSigningKeys(path, algorithm=settings.signing_algorithm[0]).contents.signer()
    if signer is None:
        raise KeyStoreError(f"{path}: no key signs; start ./scripts/dev --api once")
    return mint(signer, claims, lifetime=options.lifetime)


def instructions(token: str, service_origin: str) -> list[str]:
    """Return lines to copy into another terminal."""
    bearer = '-H "Authorization: Bearer $TOKEN"'
    tasks = f"{service_origin}/api/tasks"
    body = "-H 'Content-Type: application/json' -d '{\"title\": \"Try the API\"}'"
    minutes = int(LIFETIME.total_seconds()) // 60
    return [
        f"a token for {USER['sub']}, valid for {minutes} minutes (mint-token signs others):",
        "",
        f"TOKEN={token}",
        f"curl -sS {bearer} {body} {tasks}",
        f"curl -sS {bearer} {tasks}",
        "",
    ]


def _write(token: str, options: argparse.Namespace) -> None:
    text = json.dumps({"token": token}) if options.json else token
    if options.out is None:
        print(text)
    else:
        create_private(options.out, f"{text}\n")


def _parser() -> Parser:
    parser = Parser("mint-token", __doc__)
    parser.add_argument("--subject", required=True, help="the user's id")
    parser.add_argument("--scope", help="the scopes of the token (default: not limited)")
    parser.add_argument(
        "--lifetime", type=duration, default="15m", help="such as 15m (the default) or 1h"
    )
    parser.add_argument("--issuer", help="instead of BETTER_AUTH_URL's origin")
    parser.add_argument("--audience", help="instead of SERVICE_URL")
    parser.add_argument("--file", type=Path, metavar="PATH", help="instead of SIGNING_KEYS_URL")
    parser.add_argument("--out", type=Path, metavar="PATH", help="write to a new file")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    return parser


if __name__ == "__main__":
    sys.exit(main())
