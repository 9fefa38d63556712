"""Encrypt and decrypt the private keys in Better Auth's `jwks` table, as Better Auth does.

The cipher is XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) without associated data; its key is
SHA-256 of the secret. The column holds hex(nonce (24 bytes) || ciphertext || tag (16 bytes)) as a
JSON string. With versioned secrets the hex begins with `$ba$<version>$`. Without encryption the
column holds the JSON of the private JWK. (Seen in Better Auth 1.7.25.)
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_bytes
from typing import Final, Self

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from better_auth_keys.errors import SigningKeyError

_NONCE_BYTES: Final = 24
_ENVELOPE: Final = re.compile(r"\$ba\$(\d{1,9})\$([0-9a-f]*)", re.ASCII)
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*", re.ASCII)


class UndecryptableKeyError(SigningKeyError):
    """A private key cannot be decrypted with the given secrets."""

    code = "undecryptable_key"


@dataclass(frozen=True)
class IssuerSecrets:
    """Better Auth's secrets. The representation does not show them.

    `plain` is BETTER_AUTH_SECRET; `versions` is BETTER_AUTH_SECRETS, with the current version
    first. With versions, `plain` only decrypts what was written before there were versions. Without
    either, private keys are not encrypted (`disablePrivateKeyEncryption`).
    """

    plain: str | None = field(default=None, repr=False)
    versions: Mapping[int, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, plain: str | None, versions: str | None) -> Self:
        """Parse the two variables. Raises `ValueError`, whose message quotes neither."""
        return cls(plain or None, {} if not versions else _parse_versions(versions.split(",")))

    def open(self, column: str) -> Mapping[str, object]:
        """Return the private JWK in a value of the column `privateKey`. It is a secret.

        Raises `UndecryptableKeyError`.
        """
        try:
            held = json.loads(column)
        except (ValueError, RecursionError):
            raise UndecryptableKeyError("the private key is not in Better Auth's form") from None
        if isinstance(held, dict):
            if self.plain is not None or self.versions:
                raise UndecryptableKeyError("the private key is not encrypted, but a secret is set")
            return held
        return _open(held, self._secret_for(held))

    def seal(self, private_jwk: Mapping[str, object]) -> str:
        """Return the value for the column `privateKey`."""
        text = json.dumps(private_jwk, separators=(",", ":"))
        if self.versions:
            version, secret = next(iter(self.versions.items()))
            return json.dumps(f"$ba${version}${_encrypt(secret, text)}")
        return text if self.plain is None else json.dumps(_encrypt(self.plain, text))

    def is_current(self, column: str) -> bool:
        """Return whether a value has the form that `seal` returns now. It may not open, however."""
        if self.versions:
            return column.startswith(f'"$ba${next(iter(self.versions))}$')
        unencrypted = column.startswith("{")
        return unencrypted if self.plain is None else not column.startswith(("{", '"$ba$'))

    def _secret_for(self, held: object) -> str:
        envelope = _ENVELOPE.fullmatch(held) if isinstance(held, str) else None
        secret = self.plain if envelope is None else self.versions.get(int(envelope[1]))
        if secret is None:
            which = "no secret" if envelope is None else f"no secret of version {envelope[1]}"
            raise UndecryptableKeyError(f"{which} is set for the private key")
        return secret


def _parse_versions(entries: Sequence[str]) -> dict[int, str]:
    versions: dict[int, str] = {}
    for place, entry in enumerate(entries, 1):
        number, colon, secret = (part.strip() for part in entry.partition(":"))
        if not (colon and secret and number.isascii() and number.isdecimal() and len(number) < 10):  # noqa: PLR2004 - as in _ENVELOPE
            raise ValueError(f"entry {place} is not <version>:<secret>")
        if int(number) in versions:
            raise ValueError(f"version {int(number)} is listed twice")
        versions[int(number)] = secret
    return versions


def _open(held: object, secret: str) -> Mapping[str, object]:
    text = held.rpartition("$")[2] if isinstance(held, str) else ""
    try:
        if not _HEX.fullmatch(text):
            raise ValueError("not hex")
        sealed = bytes.fromhex(text)
        opened = crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed[_NONCE_BYTES:], None, sealed[:_NONCE_BYTES], _key(secret)
        )
        jwk = json.loads(opened)
    except (ValueError, CryptoError, RecursionError):
        raise UndecryptableKeyError("the private key does not open with this secret") from None
    if not isinstance(jwk, dict):
        raise UndecryptableKeyError("the decrypted private key is not a JWK")
    return jwk


def _encrypt(secret: str, text: str) -> str:
    nonce = token_bytes(_NONCE_BYTES)
    sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(text.encode(), None, nonce, _key(secret))
    return (nonce + sealed).hex()


def _key(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
