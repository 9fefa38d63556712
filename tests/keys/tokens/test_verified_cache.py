"""The cache of verified tokens: what a hit saves, and what it still checks."""

import asyncio
import dataclasses
import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import ClassVar

import pytest

from better_auth_keys import (
    AccessTokenVerifier,
    InvalidTokenError,
    KeySetUnavailableError,
    Reason,
    RefreshPolicy,
    RemoteKeySet,
    Signer,
    StaticKeySet,
    VerifiedTokenCache,
)
from better_auth_keys.testing import HttpIssuer
from better_auth_keys.tokens.jwk import VerificationKey, parse_jwk
from tests.keys.signed_tokens import NOW, ORIGIN, POLICY, claims, key_set_of, refusal
from tests.simulators.clock import ManualClock, advancing, eventually


class CountingKey(VerificationKey):
    """A key that counts its verifications."""

    counted: ClassVar[dict[str, int]] = {}

    def verifies(self, signing_input: bytes, signature: bytes) -> bool:
        self.counted[self.kid] = self.counted.get(self.kid, 0) + 1
        return super().verifies(signing_input, signature)


class CountingKeySet(StaticKeySet):
    """The keys of `signers`, which count; a key whose kid is removed from `kids` is gone."""

    def __init__(self, *signers: Signer) -> None:
        keys = [parse_jwk(signer.public_jwk(), {"EdDSA"}) for signer in signers]
        super().__init__(
            CountingKey(key.kid, key.algorithm, key.thumbprint, key._key) for key in keys
        )
        self.kids = {signer.kid for signer in signers}
        CountingKey.counted.clear()

    async def find(self, kid: str) -> VerificationKey | None:
        return await super().find(kid) if kid in self.kids else None

    @property
    def verifications(self) -> int:
        return sum(CountingKey.counted.values())


class Watch:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def keys(signer: Signer) -> CountingKeySet:
    return CountingKeySet(signer)


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def verifier(keys: CountingKeySet, watch: Watch) -> AccessTokenVerifier:
    return AccessTokenVerifier(keys, POLICY, now=watch)


async def test_row44_token_is_verified_once_and_then_known(
    verifier: AccessTokenVerifier, keys: CountingKeySet, signer: Signer
) -> None:
    token = signer.mint(claims())
    first, second = await verifier.verify(token), await verifier.verify(token)
    assert first == second
    assert keys.verifications == 1
    assert (verifier.cache_counters.hits, verifier.cache_counters.misses) == (1, 1)


async def test_row44_cache_is_keyed_on_the_whole_token(
    verifier: AccessTokenVerifier, signer: Signer
) -> None:
    token = signer.mint(claims())
    await verifier.verify(token)
    head, payload, signature = token.split(".")
    forged = "A" + signature[1:] if signature[0] != "A" else "B" + signature[1:]
    assert await refusal(verifier, f"{head}.{payload}.{forged}") is Reason.BAD_SIGNATURE
    other = signer.mint(claims(sub="bob"))
    assert (await verifier.verify(other)).subject == "bob"


async def test_row44_times_are_checked_again_on_every_hit(
    verifier: AccessTokenVerifier, watch: Watch, signer: Signer
) -> None:
    token = signer.mint(claims(nbf=NOW - 5))
    await verifier.verify(token)
    watch.now = NOW + 890 + POLICY.leeway
    assert await refusal(verifier, token) is Reason.EXPIRED
    # fault62: if the wall clock jumps back, the token is valid again, and then not yet valid.
    watch.now = NOW - 5 - POLICY.leeway - 1
    assert await refusal(verifier, token) is Reason.NOT_YET_VALID
    watch.now = NOW
    assert (await verifier.verify(token)).subject == "alice"


async def test_row41_row44_cached_token_is_refused_when_its_key_goes(
    verifier: AccessTokenVerifier, keys: CountingKeySet, signer: Signer
) -> None:
    token = signer.mint(claims())
    await verifier.verify(token)
    keys.kids.clear()
    assert await refusal(verifier, token) is Reason.UNKNOWN_KEY


async def test_row44_cached_token_is_verified_again_when_another_key_takes_its_kid(
    signer: Signer,
) -> None:
    key_set = key_set_of(signer)
    verifier = AccessTokenVerifier(key_set, POLICY, now=lambda: NOW)
    token = signer.mint(claims())
    await verifier.verify(token)
    key_set._snapshot = key_set_of(Signer.generate(kid=signer.kid))._snapshot
    assert await refusal(verifier, token) is Reason.BAD_SIGNATURE


async def test_row44_refusals_are_not_kept(
    verifier: AccessTokenVerifier, keys: CountingKeySet, signer: Signer
) -> None:
    forged = Signer.generate(kid=signer.kid).mint(claims())
    for _ in range(2):
        assert await refusal(verifier, forged) is Reason.BAD_SIGNATURE
    assert keys.verifications == 2
    assert verifier.cache_counters.hits == 0


async def test_row44_cache_is_bounded_and_forgets_what_was_not_used(
    keys: CountingKeySet, signer: Signer
) -> None:
    first, second, third = (signer.mint(claims(sub=name)) for name in ("a", "b", "c"))
    cache = VerifiedTokenCache(2 * await size_of(first, keys))
    verifier = AccessTokenVerifier(keys, POLICY, cache=cache, now=lambda: NOW)
    for token in (first, second, first, third):
        await verifier.verify(token)
    assert len(cache) == 2
    CountingKey.counted.clear()
    await verifier.verify(first)
    assert keys.verifications == 0
    await verifier.verify(second)
    assert keys.verifications == 1


async def test_row44_long_tokens_leave_room_for_fewer(keys: CountingKeySet, signer: Signer) -> None:
    cache = VerifiedTokenCache(11_000)
    verifier = AccessTokenVerifier(keys, POLICY, cache=cache, now=lambda: NOW)
    for name in ("a", "b", "c", "d"):
        await verifier.verify(signer.mint(claims(sub=name, about="x" * 3000)))
    assert len(cache) == 2
    await verifier.verify(signer.mint(claims(about="x" * 10_000)))
    assert len(cache) == 2


SHAPES: dict[str, Callable[[int], dict[str, object]]] = {
    "short": lambda n: claims(sub=f"{n}", id=..., name=..., email=..., emailVerified=...),
    "Better Auth's": lambda n: claims(sub=f"user-{n:05}", createdAt=f"{n}", updatedAt=f"{n}"),
    "long": lambda n: claims(about=f"{n}" + "x" * 8000),
    "long in other letters": lambda n: claims(about=f"{n}" + "\u4e00" * 1500),
    "many claims": lambda n: claims(**{f"{n} {m}": m * 1000 for m in range(150)}),
    "many objects": lambda n: claims(o=[{"id": f"{n} {m}", "role": "member"} for m in range(60)]),
    "many empty lists": lambda n: claims(sub=f"{n}", lists=[[] for _ in range(1000)]),
    "many audiences": lambda n: claims(aud=[ORIGIN, *(f"{n} {m}" for m in range(40))]),
    "many scopes": lambda n: claims(scope=" ".join(f"{n}:{m}" for m in range(100))),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=[f"row44 {id_}" for id_ in SHAPES])
async def test_cache_takes_the_bytes_that_it_is_bound_to(
    signer: Signer, shape: Callable[[int], dict[str, object]]
) -> None:
    max_bytes, keys = 400_000, key_set_of(signer)
    size = await size_of(signer.mint(shape(99_999)), keys)
    tokens = [signer.mint(shape(n)) for n in range(10_000, 10_000 + 2 * max_bytes // size)]
    cache = VerifiedTokenCache(max_bytes)
    verifier = AccessTokenVerifier(keys, POLICY, cache=cache, now=lambda: NOW)
    gc.collect()
    tracemalloc.start()
    try:
        for token in tokens:
            await verifier.verify(token)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(cache) < len(tokens)
    assert 0.8 * max_bytes < held < 1.1 * max_bytes


async def test_row44_cache_of_size_zero_keeps_nothing(keys: CountingKeySet, signer: Signer) -> None:
    verifier = AccessTokenVerifier(keys, POLICY, cache=VerifiedTokenCache(0), now=lambda: NOW)
    token = signer.mint(claims())
    for _ in range(2):
        await verifier.verify(token)
    assert keys.verifications == 2


async def test_row45_cache_holds_no_token(signer: Signer, keys: CountingKeySet) -> None:
    cache = VerifiedTokenCache()
    token = signer.mint(claims())
    await AccessTokenVerifier(keys, POLICY, cache=cache, now=lambda: NOW).verify(token)
    assert token not in repr(cache._entries)
    assert token.rpartition(".")[2] not in repr(cache._entries)


async def size_of(token: str, keys: StaticKeySet) -> int:
    """Return the size that the cache counts for a token."""
    cache = VerifiedTokenCache()
    await AccessTokenVerifier(keys, POLICY, cache=cache, now=lambda: NOW).verify(token)
    return cache._bytes


@pytest.fixture
async def remote(server: HttpIssuer, clock: ManualClock) -> AsyncIterator[RemoteKeySet]:
    key_set = RemoteKeySet(server.jwks_url, clock=clock)
    await key_set.start()
    await eventually(lambda: key_set.status().state == "fresh")
    yield key_set
    await key_set.stop()


async def test_row41_cached_token_stops_with_its_key_at_the_next_refresh(
    remote: RemoteKeySet, server: HttpIssuer, clock: ManualClock, signer: Signer
) -> None:
    policy = dataclasses.replace(POLICY, max_lifetime=10**6)
    verifier = AccessTokenVerifier(remote, policy, now=lambda: NOW)
    token = signer.mint(claims())
    await verifier.verify(token)
    server.publish(Signer.generate())
    began = clock.now
    await advancing(clock, lambda: signer.kid not in remote.status().kids, step=5)
    assert clock.now - began <= RefreshPolicy().default_lifetime

    refused: list[Reason] = []

    async def present() -> None:
        try:
            await verifier.verify(token)
        except InvalidTokenError as error:
            refused.append(error.reason)

    presenting = asyncio.create_task(present())
    await advancing(clock, presenting.done)
    assert refused == [Reason.UNKNOWN_KEY]


async def test_row42_cached_token_is_undecided_past_the_stale_window(
    remote: RemoteKeySet, server: HttpIssuer, clock: ManualClock, signer: Signer
) -> None:
    verifier = AccessTokenVerifier(remote, POLICY, now=lambda: NOW)
    token = signer.mint(claims())
    await verifier.verify(token)
    await server.stop()
    clock.advance(RefreshPolicy().default_lifetime + RefreshPolicy().stale_window - 1)
    assert (await verifier.verify(token)).subject == "alice"
    clock.advance(2)
    presenting = asyncio.create_task(verifier.verify(token))
    await advancing(clock, presenting.done)
    with pytest.raises(KeySetUnavailableError):
        await presenting
