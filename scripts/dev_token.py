"""A signing key and tokens for `./scripts/dev --api`, where no Better Auth issues any."""

import json
import time
from pathlib import Path
from typing import Final

from keys.errors import SigningKeyError
from keys.signer import Signer
from scripts.private_files import read_or_create, write_private

LIFETIME_SECONDS: Final = 3600
_USER: Final = {"sub": "dev-user", "name": "Dev User", "email": "dev-user@example.com"}


def provide_signer(folder: Path) -> Signer:
    """Read the folder's signing key, made at its first use, and publish it in `jwks.json`.

    Raises `SigningKeyError`.
    """
    path = folder / "signing-key.json"
    text = read_or_create(path, lambda: json.dumps(Signer.generate("EdDSA").private_jwk()))
    try:
        jwk = json.loads(text)
        signer = Signer.from_jwk(jwk if isinstance(jwk, dict) else {})
    except (ValueError, SigningKeyError):
        # Neither the text nor an error that quotes it may be shown: it is a private key.
        raise SigningKeyError(f"{path} is damaged: remove it to have another made") from None
    write_private(folder / "jwks.json", json.dumps({"keys": [signer.public_jwk()]}))
    return signer


def mint(signer: Signer, *, origin: str, now: float | None = None) -> str:
    """Mint a token as Better Auth at `origin` would, for a made-up user."""
    issued = int(time.time() if now is None else now)
    times = {"iat": issued, "exp": issued + LIFETIME_SECONDS}
    return signer.mint({**_USER, "iss": origin, "aud": origin, **times})


def instructions(token: str, service_origin: str) -> list[str]:
    """Give lines to copy into another terminal."""
    bearer = '-H "Authorization: Bearer $TOKEN"'
    tasks = f"{service_origin}/api/tasks"
    body = "-H 'Content-Type: application/json' -d '{\"title\": \"Try the API\"}'"
    return [
        f"a token for {_USER['sub']}, good for {LIFETIME_SECONDS // 60} minutes; to copy:",
        "",
        f"TOKEN={token}",
        f"curl -sS {bearer} {body} {tasks}",
        f"curl -sS {bearer} {tasks}",
        "",
    ]
