"""Install one library, and measure it in a process of its own."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.key_sources.clients import Plan
from benchmarks.key_sources.scenarios import CROWD, LOAD_REQUESTS, SEQUENCE, Measured
from better_auth_keys import Signer
from scripts.devstack.network import free_ports

_AUDIENCE: Final = "https://api.example.com"
_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Entrant:
    """One of the compared libraries. `requirement` is what pip installs; None for ours."""

    distribution: str
    client: str
    requirement: str | None = None
    algorithm: str = "EdDSA"
    https: bool = False
    has_ttl: bool = True
    python: str = sys.executable


def compete(entrant: Entrant, folder: Path) -> Measured:
    """Install a library, if it is not ours, and measure it.

    Raises `OSError` or `subprocess.SubprocessError` if a program cannot be run or fails.
    """
    folder.mkdir()
    python = entrant.python
    if entrant.requirement is not None:
        _run(python, "-m", "venv", "--without-pip", str(folder / "environment"))
        python = str(folder / "environment" / "bin" / "python")
        # Our own pip installs into all of them: installing pip itself takes longer than all else.
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-input"]
        _run(*pip, "--only-binary=:all:", entrant.requirement)
    plan, measured = folder / "plan.json", folder / "measured.json"
    plan.write_text(json.dumps(asdict(_plan(entrant, folder / "issuer.pem"))))
    _run(python, "-m", "benchmarks.key_sources.scenarios", str(plan), str(measured))
    found: Measured = json.loads(measured.read_text())
    return found


def _plan(entrant: Entrant, certificate: Path) -> Plan:
    # Auth0 names issuers with a slash at the end; the other libraries do not mind.
    issuer = f"{'https' if entrant.https else 'http'}://127.0.0.1:{free_ports(1)[0]}/"
    now = int(time.time())
    first, second = (Signer.generate(entrant.algorithm) for _ in range(2))
    if entrant.https:
        request = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1"
        names = ["-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", str(certificate), "-out", str(certificate)]
        _run(*request.split(), *names, *files)

    def token(signer: Signer, number: int, **header: str) -> str:
        times = {"iat": now, "exp": now + 900}
        claims = {"iss": issuer, "aud": _AUDIENCE, "sub": f"user-{number}", **times}
        return signer.mint(claims, header=header)

    return Plan(
        client=entrant.client,
        distribution=entrant.distribution,
        has_ttl=entrant.has_ttl,
        issuer=issuer,
        audience=_AUDIENCE,
        algorithm=entrant.algorithm,
        certificate=str(certificate) if entrant.https else None,
        keys=[first.public_jwk(), second.public_jwk()],
        good=[token(first, number) for number in range(LOAD_REQUESTS)],
        unknown=[token(first, n, kid=f"unknown-{n}") for n in range(CROWD + SEQUENCE)],
        rotated=[token(second, number) for number in range(LOAD_REQUESTS // 2)],
    )


def _run(*command: str) -> None:
    """Run a program from the root of the repository, for a minute at most."""
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, check=True, timeout=60)
