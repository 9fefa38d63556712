"""Tokens and keys: verify an issuer's JWTs against its published keys, with no shared secret."""

from keys.claims import AccessToken
from keys.errors import (
    InvalidTokenError,
    KeysError,
    KeySetUnavailableError,
    Reason,
    SigningKeyError,
)
from keys.key_set import KeySet, KeySetStatus, KeySnapshot, StaticKeySet
from keys.policy import VerificationPolicy
from keys.remote import RefreshPolicy, RemoteKeySet
from keys.signer import Signer
from keys.verified_cache import CacheCounters, VerifiedTokenCache
from keys.verifier import AccessTokenVerifier

__all__ = [
    "AccessToken",
    "AccessTokenVerifier",
    "CacheCounters",
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
    "VerifiedTokenCache",
]
