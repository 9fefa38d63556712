"""Drills of revoked tokens: very many of them, and a LISTEN connection that is cut silently."""

import asyncio
import json
import os
import sys
import time
from http import HTTPStatus
from typing import Final

from scripts.proofs.drills.drill import Drill, Seen
from scripts.proofs.drills.system.issuer import session_of
from scripts.proofs.drills.system.proxy import Proxy
from scripts.proofs.drills.system.service import Service
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.traffic import milliseconds
from scripts.proofs.drills.system.waiting import StageError, until

_PROOF: Final = "scripts.proofs.revocations"
_PROOF_SECONDS: Final = 300.0
_NOTICED_SECONDS: Final = 10.0
"""A heartbeat every 5 s, overdue after 3 s more, and a poll of the database."""


async def very_many(stage: Stage) -> Seen:
    """Run the proof with one million revocations, which measures memory, start and stalls."""
    seen = Seen()
    program = await stage.start(
        [sys.executable, "-m", _PROOF, "--json"],
        {**stage.surroundings(), "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    code = await program.wait(_PROOF_SECONDS)
    said = program.log.read_text(encoding="utf-8", errors="replace")
    start = said.find("\n{\n")
    if start < 0:
        raise StageError(f"{_PROOF}: exit code {code}: {said.strip()[-200:]}")
    found, _ = json.JSONDecoder().raw_decode(said, start + 1)
    reasons = [line for line in said.splitlines() if line.startswith(f"{_PROOF}: ")]
    seen.require(code == 0, reasons[-1] if reasons else f"exit code {code}")
    stalls = {name: stall["cpu_ms"] for name, stall in found["stalls"].items()}
    seen.fact(f"{found['grown_mb']:.0f} MB more, ready after {found['start_seconds']:.1f} s")
    seen.fact(f"longest stall {max(stalls.values()):.0f} ms of CPU time")
    return seen


async def listening_is_cut(stage: Stage) -> Seen:
    """Silence the LISTEN connection, and then revoke a session."""
    seen = Seen()
    user = "user-who-is-revoked-in-silence"
    token = stage.issuer.token(user)
    async with (
        Proxy(stage.server.port) as proxy,
        stage.service({"DIRECT_DATABASE_URL": proxy.url(stage.url("app"))}) as service,
    ):
        await until(lambda: _listening(service), "the service does not listen")
        answer = await service.must_answer("GET", "/api/tasks", token=token)
        seen.require(answer.status == HTTPStatus.OK, f"before: {answer.status}")
        proxy.silence(new=True)
        began = time.monotonic()
        await stage.database.revoke_sessions([session_of(user)])

        async def refused() -> bool:
            seen.requests += 1
            answer = await service.must_answer("GET", "/api/tasks", token=token)
            return answer.status == HTTPStatus.UNAUTHORIZED

        async def deaf() -> bool:
            return not await _listening(service)

        await asyncio.gather(
            until(refused, "the revoked token is accepted", seconds=60),
            until(deaf, "`listening` stays true", seconds=60),
        )
        took = time.monotonic() - began
        proxy.speak()
        back = await until(lambda: _listening(service), "it does not listen again")
    seen.require(took < _NOTICED_SECONDS, f"noticed after {milliseconds(took)}")
    seen.fact(f"noticed and refused after {milliseconds(took)}")
    seen.fact(f"listens again {milliseconds(back)} after the network is back")
    return seen


async def _listening(service: Service) -> bool:
    answer = await service.ask("GET", "/readyz")
    return answer is not None and answer.json()["keys"]["listening"] is True


DRILLS: Final = (
    Drill(
        (79,),
        "1,000,000 revocations",
        "at most 100 MB, no stall of over 20 ms",
        very_many,
        seconds=_PROOF_SECONDS + 30,
    ),
    Drill(
        (86,),
        "the LISTEN connection is cut silently",
        "a heartbeat notices it; a revoked token is refused in time",
        listening_is_cut,
    ),
)
