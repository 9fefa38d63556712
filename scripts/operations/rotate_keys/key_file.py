"""Signing keys in a file, for `./scripts/dev --api`: key rotation without Better Auth.

Next to the file with the private keys (mode 0600) is `jwks.json`, the key set that an issuer would
publish. Both are replaced atomically.
"""

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from better_auth_keys import Signer, SigningKeyError
from better_auth_keys.rotation.local_store import LocalKeys
from better_auth_keys.rotation.store import KeyStoreError, SigningKey
from scripts.operations.private_files import write_private

_MOMENTS: Final = ("published_at", "activated_at", "superseded_at", "retired_at")
_LOCK_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02


class FileSigningKeys:
    """The keys in the file `path`, created by the first change. `algorithm` is the default."""

    def __init__(self, path: Path, *, algorithm: str = "EdDSA") -> None:
        self.path = path
        self.algorithm = algorithm
        self.published = path.with_name("jwks.json")

    @property
    def contents(self) -> LocalKeys:
        """The keys that are in the file now. Raises `KeyStoreError`."""
        try:
            held = json.loads(self.path.read_text(encoding="utf-8"))
            entries = {entry["kid"]: _read(entry) for entry in held["keys"]}
            return LocalKeys(entries, set(held["revoked"]), algorithm=self.algorithm)
        except FileNotFoundError:
            return LocalKeys(algorithm=self.algorithm)
        except OSError as error:
            raise KeyStoreError(f"{self.path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError, SigningKeyError):
            # Neither the text nor an error that quotes it may be shown: it contains private keys.
            raise KeyStoreError(f"{self.path} is damaged: remove it, and start again") from None

    async def keys(self) -> list[SigningKey]:
        """Return every key that is not destroyed, the oldest first."""
        return self.contents.listed()

    @asynccontextmanager
    async def changing(self, reason: str, *, execute: bool = True) -> AsyncIterator[LocalKeys]:
        """Begin a transaction under the lock."""
        del reason  # a development store has no audit log
        with _file(self.path.with_name(f"{self.path.name}.lock")) as lock:
            await _lock(lock)
            before = self.contents
            transaction = before.copy()
            yield transaction
            if execute and transaction != before:
                self._write(transaction)

    def publish_again(self) -> None:
        """Write `jwks.json` again, in case it was lost. Raises `KeyStoreError`."""
        served = [signer.public_jwk() for signer in self.contents.served()]
        write_private(self.published, json.dumps({"keys": served}))

    def _write(self, transaction: LocalKeys) -> None:
        held = {
            "keys": [_write(*transaction.entries[key.kid]) for key in transaction.listed()],
            "revoked": sorted(transaction.revoked),
        }
        try:
            write_private(self.path, json.dumps(held))
            self.publish_again()
        except OSError as error:
            raise KeyStoreError(f"{self.path}: {error.strerror}") from None


def _write(key: SigningKey, signer: Signer) -> dict[str, object]:
    moments = {
        name: moment.isoformat()
        for name, moment in asdict(key).items()
        if name in _MOMENTS and moment is not None
    }
    return {"kid": key.kid, "algorithm": key.algorithm, **moments, "jwk": signer.private_jwk()}


def _read(entry: Mapping[str, Any]) -> tuple[SigningKey, Signer]:
    published, activated, superseded, retired = (
        datetime.fromisoformat(entry[name]) if name in entry else None for name in _MOMENTS
    )
    if published is None:
        raise ValueError("published_at is missing")
    key = SigningKey(entry["kid"], entry["algorithm"], published, activated, superseded, retired)
    return key, Signer.from_jwk(entry["jwk"])


@contextmanager
def _file(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise KeyStoreError(f"{path}: {error.strerror}") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def _lock(descriptor: int) -> None:
    try:
        async with asyncio.timeout(_LOCK_SECONDS):
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    await asyncio.sleep(_POLL_SECONDS)
                else:
                    return
    except TimeoutError:
        raise KeyStoreError("another operator is changing the keys: try again") from None
