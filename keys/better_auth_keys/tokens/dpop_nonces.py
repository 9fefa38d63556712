"""`DpopNonces`: nonces for DPoP proofs that the server need not store (RFC 9449 section 9).

A nonce shows that a proof was made after the server issued the nonce. A proof that was made in
advance, on a device that an attacker could use for a while, is of no use then.
"""

import base64
import hmac
from collections.abc import Callable
from time import time
from typing import Final

MIN_SECRET_BYTES: Final = 32
_TIME_DIGITS: Final = 10  # hexadecimal
_CODE_BYTES: Final = 18
_AHEAD: Final = 10  # seconds by which the clocks of several servers may differ
_PURPOSE: Final = b"better-auth-keys dpop nonce\0"


class DpopNonces:
    """Issues nonces, and recognizes them for `lifetime` seconds.

    A nonce is the time of its issue with a message authentication code (HMAC-SHA256, 144 bits), so
    all servers with the same `secret` accept each other's nonces. The secret needs 32 bytes or
    more; use it for nothing else. One nonce may be used in many proofs.
    """

    def __init__(
        self, secret: bytes, *, lifetime: float = 300, now: Callable[[], float] = time
    ) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise ValueError(f"the secret for nonces must have at least {MIN_SECRET_BYTES} bytes")
        if not lifetime > 0:
            raise ValueError("the lifetime of nonces must be positive")
        self._secret = secret
        self._lifetime = lifetime
        self._now = now

    def issue(self) -> str:
        """Return a nonce for the header `DPoP-Nonce` of any answer."""
        return self._nonce_of(int(self._now()))

    def accepts(self, nonce: object) -> bool:
        """Return whether a value is a nonce that was issued with the secret and is not too old."""
        if not isinstance(nonce, str) or not nonce.isascii():
            return False
        try:
            # It accepts other spellings of a number too. The comparison below does not.
            issued_at = int(nonce[:_TIME_DIGITS], 16)
        except ValueError:
            return False
        if not hmac.compare_digest(nonce, self._nonce_of(issued_at)):
            return False
        return -_AHEAD <= self._now() - issued_at <= self._lifetime

    def _nonce_of(self, issued_at: int) -> str:
        when = f"{issued_at:0{_TIME_DIGITS}x}"
        code = hmac.digest(self._secret, _PURPOSE + when.encode(), "sha256")[:_CODE_BYTES]
        return when + base64.urlsafe_b64encode(code).decode()
