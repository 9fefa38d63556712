"""Compare our verification with joserfc's, which checks less, and with a hit in the token cache.

    python -m benchmarks.verification           a table of medians and ratios
    python -m benchmarks.verification --json    the same for machines

Each round times all contestants with the same token and key, one after the other, so that noise
affects them equally. Times are the processor's. Only the ratios can be compared with those of other
machines.

Bounds: a cold verification takes at most 1.15 times as long as joserfc's decode and claims; with
Ed25519 it takes at most 1.3 times as long as the signature alone (`raw`; the goal is 1.2), and a
hit at most 1/30 of it; 10,000 different tokens take at most 22 MB.
Exit codes: 0 all bounds held, 1 at least one did not (named on stderr), 2 usage.
"""

import argparse
import asyncio
import base64
import gc
import json
import statistics
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable, Sequence
from typing import Final

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import JWKRegistry

from better_auth_keys import (
    AccessTokenVerifier,
    Signer,
    StaticKeySet,
    VerificationPolicy,
    VerifiedTokenCache,
    parse_jwk,
)

ORIGIN: Final = "https://app.example.com"
ALGORITHMS: Final = ("EdDSA", "RS256", "ES256")
ROUNDS: Final = 60
CALLS: Final = 40
KEPT_TOKENS: Final = 10_000
MAX_COLD_RATIO: Final = 1.15
MAX_RAW_RATIO: Final = 1.3
MAX_HIT_RATIO: Final = 1 / 30
MAX_MEGABYTES: Final = 22.0


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and check the bounds."""
    parser = argparse.ArgumentParser(
        "benchmarks.verification",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    arguments = parser.parse_args(argv)
    # joserfc would warn about each token, and its times would include that.
    warnings.simplefilter("ignore", SecurityWarning)
    times = {algorithm: measure(algorithm) for algorithm in ALGORITHMS}
    megabytes = measure_memory()
    failures = broken_bounds(times, megabytes)
    if arguments.json:
        print(json.dumps({"microseconds": times, "megabytes": megabytes, "failures": failures}))
    else:
        print_table(times, megabytes)
    for failure in failures:
        print(f"benchmarks.verification: {failure}", file=sys.stderr)
    return 1 if failures else 0


def claims(subject: str) -> dict[str, object]:
    """Return the claims of a Better Auth session token."""
    now = int(time.time())
    return {
        "id": subject,
        "name": "Ada",
        "email": f"{subject}@example.com",
        "emailVerified": True,
        "image": None,
        "createdAt": "2026-01-01T00:00:00.000Z",
        "updatedAt": "2026-01-01T00:00:00.000Z",
        "iat": now,
        "exp": now + 900,
        "iss": ORIGIN,
        "aud": ORIGIN,
        "sub": subject,
    }


def verifier_for(signer: Signer, cache: VerifiedTokenCache) -> AccessTokenVerifier:
    """Return a verifier that trusts `signer`."""
    policy = VerificationPolicy(ORIGIN, ORIGIN, algorithms=signer.algorithm)
    keys = StaticKeySet([parse_jwk(signer.public_jwk(), policy.algorithms)])
    return AccessTokenVerifier(keys, policy, cache=cache)


def measure(algorithm: str) -> dict[str, float]:
    """Return the median time of one verification for each contestant, in microseconds."""
    signer = Signer.generate(algorithm)
    token = signer.mint(claims("alice"))
    key = JWKRegistry.import_key({**signer.public_jwk()})
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ORIGIN},
        aud={"essential": True, "value": ORIGIN},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
    )

    def with_joserfc() -> None:
        registry.validate(jwt.decode(token, key, algorithms=[algorithm]).claims)

    cold = verifier_for(signer, VerifiedTokenCache(0))
    warm = verifier_for(signer, VerifiedTokenCache())

    def with_us(verifier: AccessTokenVerifier) -> Callable[[], None]:
        def verify() -> None:
            # Nothing is awaited, so one step runs the coroutine to its end, without the cost of an
            # event loop.
            try:
                verifier.verify(token).send(None)
            except StopIteration:
                return
            raise AssertionError("verification had to wait")

        return verify

    message, _, signature = token.rpartition(".")
    public = parse_jwk(signer.public_jwk(), algorithm)
    parts = message.encode(), base64.urlsafe_b64decode(f"{signature}==")

    def signature_alone() -> None:
        assert public.verifies(*parts)  # noqa: S101 - otherwise nothing was measured

    contestants = {
        "raw": signature_alone,
        "joserfc": with_joserfc,
        "cold": with_us(cold),
        "hit": with_us(warm),
    }
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    for contestant in contestants.values():
        contestant()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for name, contestant in contestants.items():
                began = time.thread_time()
                for _ in range(CALLS):
                    contestant()
                samples[name].append((time.thread_time() - began) / CALLS * 1e6)
    finally:
        gc.enable()
    return {name: statistics.median(times) for name, times in samples.items()}


def measure_memory() -> float:
    """Return the size of a cache with `KEPT_TOKENS` different tokens, in megabytes."""
    signer = Signer.generate("EdDSA")
    tokens = [signer.mint(claims(f"user-{number:05}")) for number in range(KEPT_TOKENS)]
    cache = VerifiedTokenCache(100_000_000)  # so that all of them are kept
    verifier = verifier_for(signer, cache)

    async def verify_all() -> None:
        for token in tokens:
            await verifier.verify(token)

    gc.collect()
    tracemalloc.start()
    asyncio.run(verify_all())
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(cache) == KEPT_TOKENS  # noqa: S101 - otherwise nothing was measured
    return taken / 1e6


def broken_bounds(times: dict[str, dict[str, float]], megabytes: float) -> list[str]:
    """Return a line for each bound that did not hold."""
    broken = [
        f"cold {algorithm} took {ratio:.2f} times joserfc's, over {MAX_COLD_RATIO}"
        for algorithm, measured in times.items()
        if (ratio := measured["cold"] / measured["joserfc"]) > MAX_COLD_RATIO
    ]
    if (ratio := times["EdDSA"]["cold"] / times["EdDSA"]["raw"]) > MAX_RAW_RATIO:
        broken.append(f"cold EdDSA took {ratio:.2f} times the signature's, over {MAX_RAW_RATIO}")
    if times["EdDSA"]["hit"] > times["EdDSA"]["cold"] * MAX_HIT_RATIO:
        broken.append("a hit took over 1/30 of a cold Ed25519 verification")
    if megabytes > MAX_MEGABYTES:
        broken.append(f"{KEPT_TOKENS} tokens took {megabytes:.1f} MB, over {MAX_MEGABYTES:.0f}")
    return broken


def print_table(times: dict[str, dict[str, float]], megabytes: float) -> None:
    """Write the table."""
    columns = ("raw", "joserfc", "cold", "/ raw", "/ joserfc", "hit", "cold / hit")
    print("us, median", *(f"{column:>10}" for column in columns))
    for algorithm, measured in times.items():
        raw, joserfc, cold, hit = (measured[name] for name in ("raw", "joserfc", "cold", "hit"))
        print(
            f"{algorithm:<10} {raw:10.1f} {joserfc:10.1f} {cold:10.1f} {cold / raw:10.2f}"
            f" {cold / joserfc:10.2f} {hit:10.2f} {cold / hit:10.0f}"
        )
    print(f"{KEPT_TOKENS} different tokens in the cache: {megabytes:.1f} MB")


if __name__ == "__main__":
    sys.exit(main())
