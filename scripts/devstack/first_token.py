"""A signing key and tokens for `./scripts/dev --api`, where no Better Auth issues any."""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from better_auth_keys import Signer
from scripts.operations.rotate_keys.key_file import FileSigningKeys

KEY_FILE: Final = "signing-keys.json"
LIFETIME: Final = timedelta(hours=1)
USER: Final = {"sub": "dev-user", "name": "Dev User", "email": "dev-user@example.com"}


async def provide_signer(folder: Path) -> Signer:
    """Give the key that signs among the folder's, made at its first use.

    What is published of them is in `jwks.json`. Raises `KeyStoreError`.
    """
    store = FileSigningKeys(folder / KEY_FILE)
    signer = store.contents.signer()
    if signer is None:
        signer = Signer.generate("EdDSA")
        async with store.changing("the first key") as ring:
            await ring.publish(signer)
    store.publish_again()
    return signer


def mint(
    signer: Signer,
    claims: Mapping[str, object],
    *,
    lifetime: timedelta = LIFETIME,
    now: float | None = None,
) -> str:
    """Sign `claims` and the times that they need, as Better Auth would."""
    issued = int(time.time() if now is None else now)
    times = {"iat": issued, "exp": issued + int(lifetime.total_seconds())}
    return signer.mint({**claims, **times})


def instructions(token: str, service_origin: str) -> Sequence[str]:
    """Give lines to copy into another terminal."""
    bearer = '-H "Authorization: Bearer $TOKEN"'
    tasks = f"{service_origin}/api/tasks"
    body = "-H 'Content-Type: application/json' -d '{\"title\": \"Try the API\"}'"
    minutes = int(LIFETIME.total_seconds()) // 60
    return [
        f"a token for {USER['sub']}, good for {minutes} minutes; to copy (others: mint-token):",
        "",
        f"TOKEN={token}",
        f"curl -sS {bearer} {body} {tasks}",
        f"curl -sS {bearer} {tasks}",
        "",
    ]
