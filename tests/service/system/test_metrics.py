"""Metrics: what is counted, under labels that no client can make grow."""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from better_auth_keys import KeySetStatus, Signer, UnusableKey
from scripts.proofs.in_process import running
from service.app import create_app
from service.settings.model import Settings
from service.system.metrics import Watch, exposition
from tests.conftest import DatabaseUrls
from tests.service.conftest import Person, rates, settings_for
from tests.service.program import ask, environment, free_port

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def samples(client: httpx.AsyncClient) -> Samples:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return read(answer.text)


def value(found: Samples, name: str, **labels: str) -> float:
    return found.get((name, tuple(sorted(labels.items()))), 0)


@pytest.fixture
async def client(settings: Settings, database: DatabaseUrls) -> AsyncIterator[httpx.AsyncClient]:
    ours = settings_for(
        database.app, jwks_url=settings.jwks_url, rate_limits=rates(tasks="5/minute")
    )
    async with running(create_app(ours)) as running_client:
        yield running_client


async def test_requests_are_counted_by_template_and_not_by_path(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    before = await samples(client)
    for _ in range(3):
        await client.get(f"/api/tasks/{uuid4()}", headers=alice)
    for n in range(20):
        await client.request(f"METHOD{n}", f"/nowhere/{uuid4()}")
    after = await samples(client)
    one_task = {"method": "GET", "route": "/api/tasks/{task_id}", "status": "404"}
    name = "http_request_duration_seconds_count"
    assert value(after, name, **one_task) - value(before, name, **one_task) == 3
    nowhere = {"method": "other", "route": "none", "status": "404"}
    assert value(after, name, **nowhere) - value(before, name, **nowhere) == 20
    assert not [key for key in after if "METHOD" in str(key) or "nowhere" in str(key)]


async def test_verifications_are_counted_by_what_was_found(
    client: httpx.AsyncClient, alice: httpx.Headers, headers_of: Person
) -> None:
    before = await samples(client)
    stranger = Signer.generate().mint({"iss": "x"})
    for headers in (
        alice,
        alice,
        headers_of("alice", exp=int(time.time()) - 3600, iat=int(time.time()) - 7200),
        {"Authorization": f"Bearer {stranger}"},
        {"Authorization": "Bearer nonsense"},
    ):
        await client.get("/api/auth/me", headers=headers)
    after = await samples(client)

    def more(outcome: str, reason: str) -> float:
        labels = {"outcome": outcome, "reason": reason}
        name = "token_verifications_total"
        return value(after, name, **labels) - value(before, name, **labels)

    assert more("accepted", "") == 2
    assert more("refused", "expired") == 1
    assert more("refused", "wrong_issuer") == 1
    assert more("refused", "malformed") == 1


async def test_requests_over_a_limit_are_counted(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    before = await samples(client)
    for _ in range(7):
        await client.get("/api/auth/me", headers=alice)
    after = await samples(client)
    name = "rate_limited_total"
    assert value(after, name, limit="tasks") - value(before, name, limit="tasks") == 2


async def test_states_are_looked_at(client: httpx.AsyncClient, alice: httpx.Headers) -> None:
    await client.get("/api/tasks", headers=alice)
    async with asyncio.timeout(10):
        while value(await samples(client), "key_set_state", state="fresh") != 1:
            await client.get("/readyz")  # it waits for the database and lets other tasks run
    found = await samples(client)
    assert value(found, "key_set_state", state="unavailable") == 0
    assert value(found, "key_set_keys") == 1
    assert value(found, "revocations_age_seconds") < 60
    assert value(found, "database_pool_wait_seconds_count") > 0
    assert value(found, "rate_limit_store_available") == 1
    assert ("rate_limit_not_shared_total", ()) in found
    assert ("database_pool_connections_in_use", ()) in found
    assert value(found, "requests_running") == value(found, "requests_waiting") == 0
    assert ("event_loop_lag_seconds_count", ()) in found
    assert ("verified_token_cache_total", (("result", "hit"),)) in found
    assert ("key_set_fetches_total", (("result", "failure"),)) in found
    assert ("key_set_changes_total", ()) in found


async def test_keys_that_are_left_out_are_counted_by_reason(
    database: DatabaseUrls, tmp_path: Path, signer: Signer
) -> None:
    small_order = {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "kid": "weak", "alg": "EdDSA"}
    members = [signer.public_jwk(), small_order, {"kty": "oct"}, {"kty": "anything"}]
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": members}))
    async with running(create_app(settings_for(database.app, jwks_url=jwks.as_uri()))) as client:
        async with asyncio.timeout(10):
            while value(await samples(client), "key_set_left_out_keys", reason="weak") != 1:
                await client.get("/readyz")
        found = await samples(client)
    counted = {
        dict(labels)["reason"]: count
        for (name, labels), count in found.items()
        if name == "key_set_left_out_keys"
    }
    assert counted.keys() == {reason.value for reason in UnusableKey}
    assert {reason: count for reason, count in counted.items() if count} == {
        "weak": 1,
        "key_type": 2,
    }


def test_changes_of_the_keys_are_counted_and_outages_are_not() -> None:
    """A sample, and how many changes it adds."""
    cases = [
        ((), 0),
        (("a",), 0),
        (("a",), 0),
        (("a", "b"), 1),
        (("b", "a"), 0),
        ((), 0),
        (("b", "a"), 0),
        ((), 0),
        (("b",), 1),
    ]
    sampled: Any = SimpleNamespace(
        connections_in_use=0,
        cache_counters=SimpleNamespace(hits=0, misses=0),
        revocations=(),
        age=None,
        listening=True,
        available=True,
        not_shared=0,
        running=0,
        waiting=0,
    )
    watch = Watch(
        database=sampled,
        key_set=sampled,
        verifier=sampled,
        key_watch=sampled,
        rate_limits=sampled,
        requests=sampled,
    )
    for kids, added in cases:
        sampled.status = partial(KeySetStatus, "fresh", kids)
        before = value(read(exposition()[0].decode()), "key_set_changes_total")
        watch.look()
        after = value(read(exposition()[0].decode()), "key_set_changes_total")
        assert after - before == added, kids


def test_workers_are_added_up(database: DatabaseUrls, tmp_path: Path, signer: Signer) -> None:
    port, jwks = free_port(), tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [signer.public_jwk()]}))
    with subprocess.Popen(
        [sys.executable, "-m", "service"],
        cwd=tmp_path,
        env=environment(database.app, port, WEB_CONCURRENCY="2", JWKS_URL=jwks.as_uri()),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        started = 0
        while started < 2:
            started += "startup complete" in process.stderr.readline()
        for _ in range(20):
            assert ask(port, "/livez").startswith(b"HTTP/1.1 200")
        workers = set()
        with httpx.Client(trust_env=False) as client:
            for _ in range(10):
                answer = client.get(
                    f"http://127.0.0.1:{port}/metrics", headers={"Connection": "close"}
                )
                workers.update(re.findall(r"pid=", answer.text))
                assert (
                    value(
                        read(answer.text),
                        "http_request_duration_seconds_count",
                        method="GET",
                        route="/livez",
                        status="200",
                    )
                    == 20
                )
        assert workers == set(), "a label that grows with every restart"
        process.terminate()
        process.stderr.read()
        assert process.wait(20) in {0, -15}
