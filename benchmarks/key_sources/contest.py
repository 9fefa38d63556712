"""Prepare one entrant, put an issuer in front of it, and have it measured in its own process."""

import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.key_sources.certificate import CERTIFICATE, make_certificate
from benchmarks.key_sources.issuer import JWKS_PATH
from benchmarks.key_sources.plan import LOAD_REQUESTS, UNKNOWN_KIDS, Measured, Plan, Settings
from better_auth_keys import Signer
from scripts.devstack.leash import kill_at_once, leashed

AUDIENCE: Final = "https://api.example.com"
_ROOT: Final = Path(__file__).resolve().parents[2]
_STEP_SECONDS: Final = 60.0
_ISSUER_SECONDS: Final = 15.0
_NEWEST_MINOR: Final = 16
_LONGEST_REASON: Final = 160


@dataclass(frozen=True, slots=True)
class Entrant:
    """Who is compared, and what it needs."""

    name: str
    distribution: str
    adapter: str
    """Module and class of its adapter."""
    requirement: str | None = None
    """What pip installs; None for us, who are here already."""
    algorithm: str = "EdDSA"
    https: bool = False
    has_ttl: bool = True
    python: tuple[int, int] = (3, 11)
    remark: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether it is what this repository offers."""
        return self.requirement is None


class ContestError(Exception):
    """An entrant could not be measured. The text says why, in a line."""


def compete(entrant: Entrant, folder: Path, deadline: float) -> Measured:
    """Install an entrant, if it is not ours, and measure it in a process of its own.

    `deadline` is on the monotonic clock. Raises `ContestError`.
    """
    folder.mkdir()
    python = sys.executable
    if entrant.requirement is not None:
        python = str(folder / "environment" / "bin" / "python")
        interpreter = _interpreter(entrant.python)
        create = [interpreter, "-m", "venv", "--without-pip", str(folder / "environment")]
        _call(create, "could not be installed", deadline)
        # Our own pip serves them all: to put one into each environment takes longer than all else.
        pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
        install = [*pip, "--no-input", "install", "--quiet", "--only-binary=:all:"]
        _call([*install, entrant.requirement], "could not be installed", deadline)
    return _measure(entrant, python, folder, deadline)


def _measure(entrant: Entrant, python: str, folder: Path, deadline: float) -> Measured:
    before, after = (Signer.generate(entrant.algorithm) for _ in range(2))
    with _issuer(entrant, [before, after], folder) as (port, control_port):
        scheme = "https" if entrant.https else "http"
        # The last slash is Auth0's; nobody else minds.
        origin = f"{scheme}://127.0.0.1:{port}/"
        settings = Settings(
            adapter=entrant.adapter,
            distribution=entrant.distribution,
            jwks_url=f"{origin.rstrip('/')}{JWKS_PATH}",
            issuer=origin,
            audience=AUDIENCE,
            algorithm=entrant.algorithm,
            authority=str(folder / CERTIFICATE) if entrant.https else None,
        )
        plan = Plan(
            settings=settings,
            control_port=control_port,
            has_ttl=entrant.has_ttl,
            in_sequence=entrant.is_ours,
            good=[_token(before, origin, number) for number in range(LOAD_REQUESTS)],
            unknown=[
                _token(before, origin, number, f"unknown-{number}")
                for number in range(UNKNOWN_KIDS)
            ],
            rotated=[_token(after, origin, number) for number in range(LOAD_REQUESTS // 2)],
        )
        plan.write(folder / "plan.json")
        files = [str(folder / "plan.json"), str(folder / "measured.json")]
        program = [python, "-m", "benchmarks.key_sources.scenarios", *files]
        _call(program, "did not get through", deadline, loopback=True)
    return Measured.read(folder / "measured.json")


def _token(signer: Signer, issuer: str, number: int, kid: str | None = None) -> str:
    now = int(time.time())
    claims = {"iss": issuer, "aud": AUDIENCE, "sub": f"user-{number}", "iat": now, "exp": now + 900}
    return signer.mint(claims, header=None if kid is None else {"kid": kid})


def _interpreter(wanted: tuple[int, int]) -> str:
    """Find a Python that is new enough: ours or, failing that, one on the PATH."""
    if sys.version_info[:2] >= wanted:
        return sys.executable
    for minor in range(wanted[1], _NEWEST_MINOR):
        # Version managers leave shims on the PATH for what they could run, but will not.
        if (found := shutil.which(f"python3.{minor}")) and _runs([found, "-V"]):
            return found
    raise ContestError(f"needs Python {wanted[0]}.{wanted[1]} or newer, and none is on the PATH")


def _runs(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def _issuer(entrant: Entrant, signers: Sequence[Signer], folder: Path) -> Iterator[tuple[int, int]]:
    """Run an issuer that publishes the first key now and all of them after a rotation."""
    keys = [signer.public_jwk() for signer in signers]
    key_sets = folder / "key_sets.json"
    key_sets.write_text(json.dumps({"before": {"keys": keys[:1]}, "after": {"keys": keys}}))
    command = [sys.executable, "-m", "benchmarks.key_sources.issuer", str(key_sets)]
    if entrant.https:
        command.append(str(make_certificate(folder)))
    with subprocess.Popen(
        leashed(command),
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield _ports(process)
        finally:
            kill_at_once(process)


def _ports(issuer: subprocess.Popen[bytes]) -> tuple[int, int]:
    if issuer.stdout is None:
        raise ContestError("the issuer has no output")
    with selectors.DefaultSelector() as selector:
        selector.register(issuer.stdout, selectors.EVENT_READ)
        said = issuer.stdout.readline().split() if selector.select(_ISSUER_SECONDS) else []
    if len(said) != 2:  # noqa: PLR2004 - its own port and that of its control
        raise ContestError("the issuer did not start")
    return int(said[0]), int(said[1])


def _call(
    command: Sequence[str], complaint: str, deadline: float, *, loopback: bool = False
) -> None:
    """Run a program from the root of the repository, on a leash; no proxy stands in a loopback."""
    seconds = min(_STEP_SECONDS, deadline - time.monotonic())
    names = (name for name in os.environ if not (loopback and name.lower().endswith("_proxy")))
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            leashed(command),
            cwd=_ROOT,
            env={name: os.environ[name] for name in names},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        try:
            process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            raise ContestError(f"{complaint} in time") from None
        finally:
            kill_at_once(process)
        errors.seek(0)
        said = errors.read().decode(errors="replace").split("\n")
    if process.returncode != 0:
        reason = next((line.strip() for line in reversed(said) if line.strip()), "no reason given")
        raise ContestError(f"{complaint}: {reason[:_LONGEST_REASON]}")
