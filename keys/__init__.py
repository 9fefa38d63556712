"""Tokens and keys: verify an issuer's JWTs against its published keys, with no shared secret."""

from keys.errors import (
    InvalidTokenError,
    KeysError,
    KeySetUnavailableError,
    Reason,
    SigningKeyError,
)
from keys.key_set import KeySet, KeySetStatus, KeySnapshot, StaticKeySet
from keys.remote import RefreshPolicy, RemoteKeySet
from keys.signer import Signer
from keys.verifier import AccessToken, AccessTokenVerifier, VerificationPolicy

__all__ = [
    "AccessToken",
    "AccessTokenVerifier",
    "InvalidTokenError",
    "KeySet",
    "KeySetStatus",
    "KeySetUnavailableError",
    "KeySnapshot",
    "KeysError",
    "Reason",
    "RefreshPolicy",
    "RemoteKeySet",
    "Signer",
    "SigningKeyError",
    "StaticKeySet",
    "VerificationPolicy",
]
