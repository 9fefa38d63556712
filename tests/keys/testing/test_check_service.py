"""`check-resource-server` on the service of this repository, over real connections."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from better_auth_keys.testing.check.command import main
from scripts.devstack.network import free_ports
from service.app import create_app
from tests.conftest import DatabaseUrls
from tests.service.conftest import settings_for
from tests.service.wire import serving

pytestmark = pytest.mark.slow


@contextmanager
def service(database: DatabaseUrls, issuer_port: int) -> Iterator[str]:
    """Serve in a thread, because the command has an event loop of its own."""
    issuer = f"http://127.0.0.1:{issuer_port}"
    settings = settings_for(database.app, better_auth_url=issuer)
    started, ended, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()
    found: list[str] = []

    async def serve() -> None:
        async with serving(create_app(settings)) as port:
            found.append(f"http://127.0.0.1:{port}/api/tasks")
            started.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    started.wait(30)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def test_service_passes_every_row_that_applies(
    database: DatabaseUrls, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [port] = free_ports(1)
    report, junit = tmp_path / "report.json", tmp_path / "report.xml"
    with service(database, port) as url:
        options = ["--algorithms", "EdDSA,RS256", "--scope", "tasks:read"]
        files = ["--json", str(report), "--junit", str(junit)]
        code = main([url, "--issuer-port", str(port), *options, *files])
    lines = capsys.readouterr().out.splitlines()
    rows = json.loads(report.read_text())["rows"]
    assert [row for row in rows if row["verdict"] == "fail"] == []
    without = [row["name"] for row in rows if row["verdict"] == "not applicable"]
    assert [name for name in without if not name.startswith("dpop")] == ["alg-per-key", "rfc9068"]
    assert code == 0
    assert len(lines) == len(rows) + 1
    passed = len(rows) - len(without)
    assert lines[-1] == f"{passed} of {passed} rows passed; {len(without)} not applicable"
    suite = ET.fromstring(junit.read_text())  # noqa: S314 - our own document
    assert suite.attrib["tests"] == str(len(rows))
    assert len(suite.findall("testcase/skipped")) == len(without)
    assert suite.findall("testcase/failure") == []
