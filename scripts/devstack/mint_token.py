"""Sign a token with a local key, for development: nothing of Better Auth is needed.

    mint-token --subject ada                     a token for ada, good for 15 minutes
    mint-token --subject ada --scope tasks:read  one that may do no more than that
    mint-token --subject ada --out token.txt     into a new file that only you may read

The key that signs is the active one of SIGNING_KEYS_URL (or --file), which `./scripts/dev --api`
makes and `rotate-keys` rotates; issuer and audience are BETTER_AUTH_URL's origin. ./scripts/ops
sets all of it. Refuses to work unless ENVIRONMENT is development.
Exit codes: 0 done, 1 failed, 2 usage.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator

from better_auth_keys import VerificationPolicy, origin_of
from better_auth_keys.rotation.store import KeyStoreError
from scripts.devstack.first_token import mint
from scripts.operations.commands import DONE, FAILED, USAGE, Parser, UsageError, duration, load
from scripts.operations.private_files import PRIVATE_FILE
from scripts.operations.rotate_keys.key_file import FileSigningKeys
from scripts.operations.rotate_keys.target import SigningAlgorithms
from service.settings.base import SettingsModel
from service.settings.types import KeyFile

_MAX_SUBJECT: Final = 255


class MintSettings(SettingsModel):
    """Where the key is, and whom its tokens name as their issuer."""

    environment: str = "production"
    signing_keys_url: KeyFile | None = None
    signing_algorithm: SigningAlgorithms = ("EdDSA",)
    better_auth_url: Annotated[str, AfterValidator(origin_of)] = "http://localhost:3000"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    options = _parser().parse_args(argv)
    try:
        token = _mint(options)
        _give(token, options)
    except UsageError as error:
        return _refuse(str(error), USAGE)
    except KeyStoreError as error:
        return _refuse(str(error), FAILED)
    except OSError as error:
        return _refuse(f"{error.filename}: {error.strerror}", FAILED)
    return DONE


def _mint(options: argparse.Namespace) -> str:
    settings = load(MintSettings)
    if settings.environment != "development":
        raise UsageError("only with ENVIRONMENT=development: in production an issuer signs tokens")
    path = options.file or settings.signing_keys_url
    if path is None:
        raise UsageError("SIGNING_KEYS_URL: not set; it names the file of a local issuer's keys")
    if not 0 < len(options.subject) <= _MAX_SUBJECT or not options.subject.isprintable():
        raise UsageError(f"--subject has 1 to {_MAX_SUBJECT} printable characters")
    longest = _longest_lifetime()
    if not 0 < options.lifetime.total_seconds() <= longest:
        raise UsageError(f"--lifetime must be positive and at most {longest:.0f}s")
    origin = settings.better_auth_url
    claims = {"sub": options.subject, "iss": options.issuer or origin}
    claims["aud"] = options.audience or origin
    if options.scope is not None:
        claims["scope"] = options.scope
    signer = FileSigningKeys(path, algorithm=settings.signing_algorithm[0]).contents.signer()
    if signer is None:
        raise KeyStoreError(f"{path}: no key signs; start ./scripts/dev --api once")
    return mint(signer, claims, lifetime=options.lifetime)


def _longest_lifetime() -> float:
    """Give what a verifier takes at most."""
    return VerificationPolicy("https://issuer", "https://issuer").max_lifetime


def _give(token: str, options: argparse.Namespace) -> None:
    text = json.dumps({"token": token}) if options.json else token
    if options.out is None:
        print(text)
        return
    # Exclusively: what is there already, or a link to somewhere else, is left alone.
    descriptor = os.open(options.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{text}\n")


def _parser() -> Parser:
    parser = Parser("mint-token", __doc__)
    parser.add_argument("--subject", required=True, help="whom the token speaks for")
    parser.add_argument("--scope", help="what it is limited to; without limits if not given")
    parser.add_argument(
        "--lifetime", type=duration, default="15m", help="such as 15m (the default) or 1h"
    )
    parser.add_argument("--issuer", help="instead of BETTER_AUTH_URL's origin")
    parser.add_argument("--audience", help="instead of BETTER_AUTH_URL's origin")
    parser.add_argument("--file", type=Path, metavar="PATH", help="instead of SIGNING_KEYS_URL")
    parser.add_argument("--out", type=Path, metavar="PATH", help="write to a new file")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    return parser


def _refuse(text: str, code: int) -> int:
    print(f"mint-token: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
