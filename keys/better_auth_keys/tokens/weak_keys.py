"""Detect public keys whose signatures prove nothing, from the key alone.

An Ed25519 key of small order verifies signatures that were made without a private key: if the key
is the neutral element, (neutral element, 0) is a signature of every message. OpenSSL, which does
the verification, accepts such keys, and also encodings that RFC 8032 forbids. There are 14
encodings of small order: of 8 points (the 8-torsion group), 6 have a second one.

A point of mixed order (the sum of a small-order point and a normal one) is NOT refused, because
signing for it needs the private key of the normal part. The owner of the key could make signatures
that only some libraries accept, which matters in consensus systems but not here.

RSA keys from CVE-2017-15361 ("ROCA") can be factored from the public key.
"""

from math import gcd
from typing import Final

# The curve -x^2 + y^2 = 1 + d x^2 y^2 over the field of p elements (RFC 8032 section 5.1).
_P: Final = 2**255 - 19
_D: Final = -121_665 * pow(121_666, -1, _P) % _P
_SIGN_BIT: Final = 1 << 255

# Vulnerable primes are k * M + (65537 ** a mod M), where M is divisible by all these primes, so
# their product is a power of 65537 modulo M ("The Return of Coppersmith's Attack", section 2.2).
_ROCA_GENERATOR: Final = 65_537
_ROCA_PRIMES: Final = [n for n in range(3, 168) if all(n % divisor for divisor in range(2, n))]


def is_ed25519_point(encoded: bytes) -> bool:
    """Return whether `encoded` (32 bytes) is a canonical point (RFC 8032 section 5.1.3)."""
    number = int.from_bytes(encoded, "little")
    y = number & ~_SIGN_BIT
    if y >= _P:
        return False
    # x^2 = u / v, and v is never 0. It is a square where u * v is one (Euler's criterion).
    u, v = y * y - 1, _D * y * y + 1
    if u % _P == 0:
        return not number & _SIGN_BIT  # x is 0, and there is no negative zero
    return pow(u * v, (_P - 1) // 2, _P) == 1


def has_small_order(encoded: bytes) -> bool:
    """Return whether 8 times an Ed25519 point (32 bytes) is the neutral element."""
    # y = numerator / denominator. The y of twice a point follows from y alone:
    # (y^2 + x^2) / (1 - d x^2 y^2), where x^2 = (y^2 - 1) / (d y^2 + 1).
    numerator, denominator = int.from_bytes(encoded, "little") & ~_SIGN_BIT, 1
    for _ in range(3):
        a, b = numerator**2 % _P, denominator**2 % _P
        u, v = a - b, _D * a + b
        numerator, denominator = (a * v + b * u) % _P, (b * v - _D * a * u) % _P
    return numerator == denominator  # the neutral element is (0, 1)


def has_roca_fingerprint(modulus: int) -> bool:
    """Return whether an RSA modulus is a power of 65537 modulo the product of `_ROCA_PRIMES`.

    For a modulus of another origin the probability is 2 ** -154.
    """
    exponent, period = 0, 1
    for prime in _ROCA_PRIMES:
        powers = _powers(prime)
        residue = modulus % prime
        if residue not in powers:
            return False
        # There must be one exponent that fits all primes (Chinese remainder theorem).
        found, order = powers.index(residue), len(powers)
        if (found - exponent) % (common := gcd(period, order)):
            return False
        step = (found - exponent) // common * pow(period // common, -1, order // common)
        exponent += period * (step % (order // common))
        period *= order // common
    return True


def _powers(prime: int) -> list[int]:
    """Return the powers of 65537 modulo a prime, each once, beginning with exponent 0."""
    powers, power = [1], _ROCA_GENERATOR % prime
    while power != 1:
        powers.append(power)
        power = power * _ROCA_GENERATOR % prime
    return powers
