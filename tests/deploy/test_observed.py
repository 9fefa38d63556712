"""Replicas and a real Prometheus: the queries of the dashboard, and the runbook of the alerts.

With RECORD_RUNBOOKS=1 the output is written into the runbook; read it before you commit.
"""

import asyncio
import json
import math
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from better_auth_keys.testing import Reply, Request
from scripts.devstack.network import free_ports
from scripts.devstack.postgres.roles import create_database
from tests.conftest import PostgresServer
from tests.end_to_end.test_runbooks import LiveIssuer, steps
from tests.service.program import ask, environment
from tests.simulators.jwks_table import SECRET, Issuer
from tests.simulators.prometheus import needs_prometheus, prometheus

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK = ROOT / "docs" / "runbooks" / "alerts.md"
DASHBOARD = ROOT / "deploy" / "grafana" / "service.json"
BLOCK = re.compile(r"```console\n(.*?)```|<!-- replica: (\S+) -->", re.DOTALL)
LIMIT = 20
WAIT_SECONDS = 30
# What is broken on the live replicas. The unit tests of the rules let the other alerts fire.
FIRING = {
    "ReplicaDown",
    "ErrorRate",
    "KeySetUnavailable",
    "KeysLeftOut",
    "ReplicaNotListening",
    "RevocationsOld",
    "RateLimitStoreUnavailable",
}
WEAK = {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "kid": "weak", "alg": "EdDSA"}
# What differs between runs.
CHANGING = {
    r"\b[0-9A-Za-z]{32}\b": "KID",
    r"\S+/\d+/[0-9a-f]{6}": "REPLICA",
    r"\d{4}-\d\d-\d\d \d\d:\d\d UTC": "MOMENT",
    r"\bNaN\b|\d+(\.\d+)?(e[+-]\d+)?": "N",
    r" +": " ",
}


class WeakIssuer(LiveIssuer):
    """Serves the key set from the table, and a key that cannot be used."""

    async def answer(self, request: Request) -> Reply:
        reply = await super().answer(request)
        return Reply(body=json.dumps({"keys": [*json.loads(reply.body)["keys"], WEAK]}).encode())


@dataclass
class Observed:
    """The replicas by name, each with its settings, and the Prometheus that scrapes them."""

    issuer: Issuer
    settings: Mapping[str, Mapping[str, str]]
    names: Mapping[str, str]
    """What the runbook calls each address."""
    folder: Path
    prometheus: str = ""
    client: httpx.Client = field(default_factory=partial(httpx.Client, trust_env=False))

    def query(self, expression: str) -> list[Any]:
        """Return the values that a query finds, with their labels."""
        url = f"{self.prometheus}/api/v1/query"
        answer = self.client.get(url, params={"query": expression})
        assert answer.status_code == httpx.codes.OK, answer.text
        found: list[Any] = answer.json()["data"]["result"]
        return found

    def firing(self) -> set[str]:
        found = self.query('ALERTS{alertstate="firing"}')
        return {series["metric"]["alertname"] for series in found}

    def unsettled(self) -> bool:
        """Return whether an alert does not fire yet, or a count was scraped only once."""
        failed, refused = (
            self.query(f"sum by ({label}) (increase({metric}[5m])) > 0")
            for label, metric in (
                ("route", 'http_request_duration_seconds_count{status="503"}'),
                ("reason", 'token_verifications_total{outcome="refused"}'),
            )
        )
        # A scrape is counted in the next one, so its rate needs one more than the others.
        scrapes = self.query('rate(http_request_duration_seconds_sum{route="/metrics"}[5m]) > 0')
        counts = len(failed), len(refused), len(scrapes)
        return not self.firing() >= FIRING or counts != (3, 2, 2)

    def url(self, replica: str) -> str:
        return f"http://127.0.0.1:{self.settings[replica]['PORT']}"

    def token(self, **changes: object) -> str:
        origin, now = self.settings["service-1"]["BETTER_AUTH_URL"], int(time.time())
        claims = {"iss": origin, "aud": origin, "sub": "ada", "iat": now, "exp": now + 900}
        return asyncio.run(self.issuer.sign({**claims, **changes}))

    def visit(self) -> None:
        """Send requests that succeed, and some that do not."""
        accepted = self.token()
        refused = [self.token(aud="https://other.example"), self.token(iat=1, exp=2)]
        for token in [*refused, *[accepted] * (LIMIT + 1)]:
            self.client.get(f"{self.url('service-1')}/api/tasks", headers=bearer(token))
        assert self.client.get(f"{self.url('service-1')}/readyz").status_code == httpx.codes.OK
        answer = self.client.get(f"{self.url('service-2')}/api/tasks", headers=bearer(accepted))
        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        self.client.get(f"{self.url('service-2')}/readyz")
        # The store is not used before a request is counted. An account has a limit of its own.
        email = f"{secrets.token_hex(8)}@example.com"
        body = {"email": email, "password": "correct horse battery"}
        self.client.post(f"{self.url('service-2')}/api/auth/login", json=body)

    def until(self, missing: Callable[[], object]) -> None:
        """Send requests until nothing is missing, because rates need several samples."""
        deadline = time.monotonic() + WAIT_SECONDS
        while left := missing():
            assert time.monotonic() < deadline, left
            self.visit()

    def answer(self, command: str, replica: str) -> str:
        """Run a command with the settings of a replica. Return what a terminal would show."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env={
                **self.settings[replica],
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "REPLICA": self.url(replica),
                "PROMETHEUS": self.prometheus,
                "PYTHONUNBUFFERED": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        text = done.stdout
        for address, name in self.names.items():
            text = text.replace(address, name)
        return text if text.endswith("\n") else f"{text}\n"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@contextmanager
def served(settings: Mapping[str, str], folder: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-m", "service"], cwd=folder, env=settings, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert ask(int(settings["PORT"]), "/livez").startswith(b"HTTP/1.1 200")
            yield
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def observed(
    postgres: PostgresServer, issuer_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Observed]:
    database = f"{issuer_template}_{secrets.token_hex(3)}"
    asyncio.run(create_database(postgres.superuser_url, database, template=issuer_template))
    urls, folder = postgres.urls(database), tmp_path_factory.mktemp("observed")
    issuer = Issuer(urls.auth)
    asyncio.run(issuer.mint_key(age=timedelta(days=40)))
    # Sorted, so that the runbook's commands sort the replicas by their names.
    found = sorted(free_ports(6))
    ports, unused = found[:3], found[3:]
    with ExitStack() as stack:
        server = stack.enter_context(WeakIssuer(issuer).in_thread())
        works = environment(
            urls.app,
            ports[0],
            BETTER_AUTH_URL=server.url,
            JWKS_URL=server.jwks_url,
            RATE_LIMITS=f"tasks={LIMIT}/minute",
            AUTH_DATABASE_URL=urls.auth,
            BETTER_AUTH_SECRET=SECRET,
            JWKS_GRACE_PERIOD="30d",
        )
        broken = environment(
            f"postgresql://app:x@127.0.0.1:{unused[0]}/x",
            ports[1],
            BETTER_AUTH_URL=server.url,
            BETTER_AUTH_INTERNAL_URL=f"http://127.0.0.1:{unused[1]}",
            # Each visit has the same statuses.
            RATE_LIMITS="login=1000/minute",
            RATE_LIMIT_STORAGE=f"redis://127.0.0.1:{unused[2]}/0",
        )
        settings = {
            "service-1": works,
            "service-2": broken,
            "service-3": {**works, "PORT": str(ports[2])},
        }
        names = {
            urls.app.rpartition("@")[2]: "postgres:5432/resource_server",
            **{f"127.0.0.1:{s['PORT']}": f"{name}:8000" for name, s in settings.items()},
            f"127.0.0.1:{unused[1]}": "web:3000",
            f"127.0.0.1:{unused[2]}": "redis:6379",
            server.url.removeprefix("http://"): "web:3000",
        }
        system = Observed(issuer, settings, names, folder)
        for name in ("service-1", "service-2"):
            stack.enter_context(served(settings[name], folder))
        targets = [f"127.0.0.1:{port}" for port in ports]
        system.prometheus = stack.enter_context(prometheus(folder, targets))
        stack.enter_context(system.client)
        (folder / "refused-token").write_text(system.token(aud="https://other.example"))
        system.until(system.unsettled)
        yield system


@needs_prometheus
def test_alerts_fire_on_what_is_broken(observed: Observed) -> None:
    found = {
        (series["metric"]["alertname"], series["metric"]["instance"])
        for series in observed.query('ALERTS{alertstate="firing", instance!=""}')
    }
    broken, stopped = (observed.url(name)[len("http://") :] for name in ("service-2", "service-3"))
    wanted = {(name, broken) for name in FIRING - {"ReplicaDown", "ErrorRate", "KeysLeftOut"}}
    assert wanted | {("ReplicaDown", stopped)} <= found
    (left_out,) = observed.query('ALERTS{alertname="KeysLeftOut"}')
    assert left_out["metric"]["reason"] == "weak"


def panels() -> list[Any]:
    found: list[Any] = json.loads(DASHBOARD.read_text())["panels"]
    return found


@needs_prometheus
@pytest.mark.parametrize(
    "expression",
    [
        pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
        for panel in panels()
        for target in panel["targets"]
    ],
)
def test_query_of_the_dashboard_finds_something(observed: Observed, expression: str) -> None:
    query = expression.replace("$__rate_interval", "5m")
    assert "$" not in query

    def has_no_number() -> bool:
        values = [float(series["value"][1]) for series in observed.query(query)]
        return all(math.isnan(value) for value in values)

    observed.until(has_no_number)


def test_dashboard_has_a_panel_for_each_place_and_one_source() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in panels()]
    assert len({*places}) == len(places)
    assert len({panel["id"] for panel in panels()}) == len(places)
    sources = {json.dumps(panel["datasource"]) for panel in panels()}
    assert sources == {'{"type": "prometheus", "uid": "prometheus"}'}


@needs_prometheus
def test_runbook_of_the_alerts_says_what_happens(observed: Observed) -> None:
    text, recording = RUNBOOK.read_text(), bool(os.environ.get("RECORD_RUNBOOKS"))
    recorded, last, replica = "", 0, ""
    for match in BLOCK.finditer(text):
        recorded += text[last : match.start()]
        last = match.end()
        if match[2]:
            replica = match[2]
            recorded += match[0]
            continue
        block = ""
        for command, written in steps(match[1]):
            real = observed.answer(command, replica)
            block += f"$ {command}\n{real}"
            assert recording or plain(real) == plain(written), command
        recorded += f"```console\n{block}```"
    if recording:
        RUNBOOK.write_text(recorded + text[last:])


def test_each_section_of_the_runbook_has_a_command() -> None:
    for section in re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]:
        assert "```console\n$ " in section, section.partition("\n")[0]


def plain(text: str) -> str:
    """Return a text without what differs between runs."""
    for pattern, word in CHANGING.items():
        text = re.sub(pattern, word, text)
    return "\n".join(line.strip() for line in text.strip().splitlines())
