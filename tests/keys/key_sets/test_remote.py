"""`RemoteKeySet` through outages, bad answers and time, against a real HTTP server."""

import asyncio
from pathlib import Path

import pytest

from better_auth_keys import KeySetUnavailableError, RemoteKeySet, Signer
from better_auth_keys.key_sets.fetch import FetchLimits
from better_auth_keys.testing import Gate, HttpIssuer, Reply, jwks_of
from better_auth_keys.tokens.jwk import VerificationKey
from tests.keys.lookups import POLICY, fail, found, look_up
from tests.simulators.clock import ManualClock, advancing, eventually
from tests.simulators.tls import make_authority


async def test_row42_stale_keys_are_served_up_to_the_bound_and_then_unavailable(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer
) -> None:
    await server.stop()
    clock.advance(POLICY.default_lifetime)
    await eventually(lambda: key_set.status().failures > 0)
    assert key_set.status().state == "stale"
    clock.advance(POLICY.stale_window - 1)
    assert await key_set.find(signer.kid) is not None
    clock.advance(2)
    assert key_set.status().state == "unavailable"
    with pytest.raises(KeySetUnavailableError):
        await found(look_up(key_set, signer.kid), clock)


async def test_row41_removed_key_stops_verifying_at_the_next_refresh(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer
) -> None:
    server.publish(Signer.generate())
    await advancing(clock, lambda: signer.kid not in key_set.status().kids, step=10)
    assert await found(look_up(key_set, signer.kid), clock) is None


OTHER = Signer.generate()
BAD_ANSWERS = {
    "row43 empty set": Reply(body=b'{"keys": []}'),
    "row43 HTML": Reply(body=b"<!doctype html>"),
    "fault58 500": Reply(status=500),
    "fault58 429": Reply(status=429),
    "fault58 3 MB": Reply(body=jwks_of([OTHER]) + b" " * 3_000_000),
    "row37 redirect": Reply(status=302, headers={"Location": "/elsewhere"}),
    "not asked for 304": Reply(status=304),
    "compressed": Reply(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("reply", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_bad_answer_never_replaces_a_good_set(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer, reply: Reply
) -> None:
    server.reply = reply
    server.elsewhere["/elsewhere"] = Reply(body=jwks_of([OTHER]))
    await advancing(clock, lambda: key_set.status().fetches > 1, step=10)
    await advancing(clock, lambda: key_set.status().failures > 0)
    assert key_set.status().kids == (signer.kid,)
    assert key_set.status().last_error
    assert "/elsewhere" not in [request.path for request in server.requests]


@pytest.mark.parametrize("reply", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_row46_cold_set_is_unavailable_and_recovers_by_itself(
    server: HttpIssuer, clock: ManualClock, signer: Signer, reply: Reply
) -> None:
    server.reply = reply
    remote = RemoteKeySet(server.jwks_url, clock=clock)
    await remote.start()
    with pytest.raises(KeySetUnavailableError):
        await found(look_up(remote, signer.kid), clock)
    server.publish(signer)
    await advancing(clock, lambda: remote.status().state == "fresh")
    assert await remote.find(signer.kid) is not None
    await remote.stop()


async def test_row39_trickling_body_is_cut_off_and_the_good_set_stays(
    server: HttpIssuer, clock: ManualClock, signer: Signer
) -> None:
    brief = FetchLimits(connect=1, read=0.2, total=0.3)
    remote = RemoteKeySet(server.jwks_url, clock=clock, limits=brief)
    await remote.start()
    await advancing(clock, lambda: remote.status().state == "fresh")
    server.reply = Reply(headers={"Content-Length": "9999"}, trickle=True)
    failures = remote.status().failures
    await advancing(clock, lambda: remote.status().failures > failures, step=1)
    assert remote.status().last_error == "no complete answer in time"
    assert await remote.find(signer.kid) is not None
    await remote.stop()


async def test_row46_server_that_is_not_there_yet_is_found_when_it_comes(
    server: HttpIssuer, clock: ManualClock
) -> None:
    await server.stop()
    remote = RemoteKeySet(server.jwks_url, clock=clock)
    await remote.start()
    await eventually(lambda: remote.status().failures == 1)
    assert remote.status().state == "unavailable"
    await server.start()
    await advancing(clock, lambda: remote.status().state == "fresh")
    await remote.stop()


async def test_row47_no_request_waits_while_a_usable_key_exists(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer
) -> None:
    server.reply = Reply(gate=Gate())
    await advancing(clock, lambda: len(server.requests) == 2, step=10)
    lookup = key_set.find(signer.kid)
    with pytest.raises(StopIteration) as ended:
        lookup.send(None)  # it ends in one step, so nothing was awaited
    assert isinstance(ended.value.value, VerificationKey)


async def test_row49_keys_are_renewed_before_they_expire(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet
) -> None:
    clock.advance(POLICY.default_lifetime * 0.7 - 1)
    await asyncio.sleep(0.01)
    assert len(server.requests) == 1
    await advancing(clock, lambda: len(server.requests) == 2, step=1)
    assert clock.now < 1000 + POLICY.default_lifetime * 0.9 + 2
    await eventually(lambda: key_set.status().age == 0)


@pytest.mark.parametrize(
    ("cache_control", "lifetime"),
    [
        ("public, max-age=600", 600),
        ("max-age=1", POLICY.min_lifetime),
        ("max-age=99999999", POLICY.max_lifetime),
        ("s-maxage=600", POLICY.default_lifetime),
        ("no-store", POLICY.default_lifetime),
    ],
)
async def test_max_age_is_honoured_within_bounds(
    server: HttpIssuer, clock: ManualClock, signer: Signer, cache_control: str, lifetime: float
) -> None:
    server.publish(signer, Cache_Control=cache_control)
    remote = RemoteKeySet(server.jwks_url, clock=clock)
    await remote.start()
    await eventually(lambda: remote.status().state == "fresh")
    assert remote.status().next_refresh_in == pytest.approx(lifetime * 0.8)
    await remote.stop()


async def test_entity_tag_is_sent_back_and_304_renews_the_set(
    server: HttpIssuer, clock: ManualClock, signer: Signer
) -> None:
    server.publish(signer, ETag='"v1"')
    remote = RemoteKeySet(server.jwks_url, clock=clock)
    await remote.start()
    await eventually(lambda: remote.status().state == "fresh")
    server.reply = Reply(status=304)
    await advancing(clock, lambda: len(server.requests) == 2, step=10)
    await eventually(lambda: remote.status().fetches == 2 and remote.status().age == 0)
    assert server.requests[1].headers["if-none-match"] == '"v1"'
    assert remote.status().failures == 0
    assert await remote.find(signer.kid) is not None
    await remote.stop()


@pytest.mark.parametrize("tag", ['"v\xe9"', '"' + "v" * 300 + '"'], ids=["not ASCII", "too long"])
async def test_odd_entity_tag_does_not_end_the_refresh(
    server: HttpIssuer, clock: ManualClock, signer: Signer, tag: str
) -> None:
    server.publish(signer, ETag=tag)
    remote = RemoteKeySet(server.jwks_url, clock=clock)
    await remote.start()
    await advancing(clock, lambda: remote.status().state == "fresh")
    await advancing(clock, lambda: len(server.requests) == 2, step=10)
    await advancing(clock, lambda: remote.status().fetches == 2 and remote.status().age == 0)
    assert "if-none-match" not in server.requests[1].headers
    assert remote.status().failures == 0
    await remote.stop()


async def test_failed_conditional_fetch_is_tried_again_without_the_tag(
    server: HttpIssuer, clock: ManualClock, signer: Signer
) -> None:
    server.publish(signer, ETag='"v1"')
    remote = RemoteKeySet(server.jwks_url, clock=clock)
    await remote.start()
    await advancing(clock, lambda: remote.status().state == "fresh")
    server.reply = Reply(status=431)
    await advancing(clock, lambda: remote.status().failures == 1, step=10)
    server.publish(signer)
    await advancing(clock, lambda: len(server.requests) == 3)
    tagged = ["if-none-match" in request.headers for request in server.requests]
    assert tagged == [False, True, False]
    await remote.stop()


async def test_row37_proxy_of_the_environment_never_carries_plain_http_keys(
    server: HttpIssuer, clock: ManualClock, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = HttpIssuer()
    proxy.publish(Signer.generate())
    await proxy.start()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url.removesuffix("/api/auth/jwks"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    remote = RemoteKeySet(server.jwks_url, clock=clock)
    await remote.start()
    await advancing(clock, lambda: remote.status().state == "fresh")
    assert remote.status().kids == (signer.kid,)
    assert proxy.requests == []
    await remote.stop()
    await proxy.stop()


async def test_two_starts_at_once_make_one_task_and_stop_ends_it(
    server: HttpIssuer, clock: ManualClock
) -> None:
    remote = RemoteKeySet(server.jwks_url, clock=clock)
    await asyncio.gather(remote.start(), remote.start())
    await remote.stop()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "jwks-refresh"]


@pytest.mark.parametrize("header", ["Retry-After", "X-Retry-After"])
async def test_retry_after_is_obeyed_by_every_fetch(
    server: HttpIssuer, clock: ManualClock, signer: Signer, header: str
) -> None:
    server.reply = Reply(status=429, headers={header: "30"})
    remote = RemoteKeySet(server.jwks_url, clock=clock)
    await remote.start()
    await eventually(lambda: remote.status().failures == 1)
    with pytest.raises(KeySetUnavailableError) as caught:
        await remote.find(signer.kid)
    assert caught.value.retry_after == pytest.approx(30)
    server.publish(signer)
    clock.advance(29)
    await asyncio.sleep(0.01)
    assert len(server.requests) == 1
    await advancing(clock, lambda: remote.status().state == "fresh", step=1)
    await remote.stop()


async def test_endless_retry_after_is_obeyed_for_five_minutes(
    server: HttpIssuer, clock: ManualClock, signer: Signer
) -> None:
    server.reply = Reply(status=503, headers={"Retry-After": "86400"})
    remote = RemoteKeySet(server.jwks_url, clock=clock)
    await remote.start()
    await eventually(lambda: remote.status().failures == 1)
    with pytest.raises(KeySetUnavailableError) as caught:
        await remote.find(signer.kid)
    assert caught.value.retry_after == pytest.approx(300)
    await remote.stop()


async def test_failure_is_logged_once_with_the_url(
    server: HttpIssuer, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    server.reply = Reply(status=500)
    remote = RemoteKeySet(server.jwks_url, clock=clock)
    await remote.start()
    await advancing(clock, lambda: remote.status().failures > 1, step=1)
    await remote.stop()
    (line,) = [message for message in caplog.messages if "failed" in message]
    assert line.startswith(f"fetching the key set from {server.jwks_url} failed: ")


async def test_failures_back_off(server: HttpIssuer, clock: ManualClock) -> None:
    fail(server)
    remote = RemoteKeySet(server.jwks_url, clock=clock)
    await remote.start()
    delays: list[float] = []
    while len(delays) < 8:
        await advancing(clock, lambda: remote.status().failures > len(delays), step=1)
        delays.append(remote.status().next_refresh_in or 0)
    assert delays == sorted(delays)
    assert delays[-1] == pytest.approx(POLICY.max_backoff * 0.75)
    await remote.stop()


async def test_row37_certificate_that_nobody_vouches_for_is_refused(
    tmp_path: Path, clock: ManualClock, signer: Signer
) -> None:
    authority = make_authority(tmp_path)
    server = HttpIssuer()
    server.publish(signer)
    await server.start(tls=authority.context)
    trusting = RemoteKeySet(server.jwks_url, clock=clock, ca_file=str(authority.file))
    strict = RemoteKeySet(server.jwks_url, clock=clock)
    for remote in (trusting, strict):
        await remote.start()
    await eventually(lambda: trusting.status().fetches == 1 and strict.status().failures == 1)
    await eventually(lambda: trusting.status().state == "fresh")
    assert strict.status().state == "unavailable"
    assert len(server.requests) == 1
    for remote in (trusting, strict):
        await remote.stop()
    await server.stop()


@pytest.mark.parametrize(
    "url",
    [
        "http://app.example.com/jwks",
        "http://app.localhost/jwks",
        "ftp://localhost/jwks",
        "/jwks",
        "https://",
        "https://user:secret@app.example.com/jwks",
    ],
)
def test_row37_key_url_without_tls_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="key") as caught:
        RemoteKeySet(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://app.example.com/jwks", ()),
        ("http://localhost:3000/jwks", ()),
        ("http://127.0.0.1/jwks", ()),
        ("http://[::1]:3000/jwks", ()),
        ("http://web:3000/jwks", ("web",)),
    ],
)
def test_row37_key_url_over_tls_loopback_or_to_a_listed_host_is_taken(
    url: str, plain: tuple[str, ...]
) -> None:
    RemoteKeySet(url, plain_http_hosts=plain)
