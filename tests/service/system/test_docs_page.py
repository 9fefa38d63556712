"""`/docs`: a page that only runs its own files."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.settings.model import Settings
from tests.service.http.test_schemathesis import Server

CHROMIUM = shutil.which("chromium")


async def test_docs_page_and_all_that_it_loads_is_served_here(client: httpx.AsyncClient) -> None:
    answer = await client.get("/docs")
    assert answer.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert len(loaded) == 4
    for url in loaded:
        assert not url.startswith(("http", "//")), "another host's scripts beside a person's token"
        assert (await client.get(f"/{url}")).status_code == 200
    assert (await client.get("/docs/assets/../../app.py")).status_code == 404


async def test_docs_page_keeps_no_token(client: httpx.AsyncClient) -> None:
    script = (await client.get("/docs/assets/start.js")).text
    assert "persistAuthorization: false" in script


async def test_docs_page_has_nothing_in_it_that_its_policy_would_have_to_allow(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/docs")
    policy = answer.headers["Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == directives["frame-ancestors"] == "'none'"
    assert directives["base-uri"] == directives["form-action"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == "'self'"
    assert "unsafe" not in policy
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert not re.search(r"<style|style=|\son\w+=|<script(?! src=)", answer.text)


@pytest.fixture(scope="module")
def url(settings: Settings) -> Iterator[str]:
    with Server(settings) as server:
        yield f"http://127.0.0.1:{server.port}"


def test_docs_page_shows_every_operation_in_a_browser_that_obeys_its_policy(
    url: str, tmp_path: Path
) -> None:
    if CHROMIUM is None:
        if os.environ.get("CI") != "true":
            pytest.skip("chromium is not installed; in CI it is")
        raise FileNotFoundError("chromium")
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--dump-dom",
            "--disable-background-networking",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path}",
            "--virtual-time-budget=20000",
            f"{url}/docs",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    operations = set(re.findall(r'id="operations-\w+-(\w+)"', done.stdout))
    assert {"listTasks", "createTask", "getMe", "login", "getLiveness"} <= operations
    assert "CONSOLE" not in done.stderr, "the browser complained"
