"""Prove that users do not notice a key rotation, with the real Better Auth and two services.

    python -m scripts.proofs.rotation          all drills, about four minutes
    python -m scripts.proofs.rotation --short  prune a retired key with --force instead of waiting
    python -m scripts.proofs.rotation --json   write JSON for machines

While five simulated users call the services and fetch new tokens, this rotates the signing key
(publish, activate, retire, prune), adds ES256 to EdDSA and then ends EdDSA, changes Better Auth's
secret, and revokes a key that is used to forge tokens. No valid token may get a 401 or a 503. After
the revocation both services must refuse the forged token within a second. The users' tokens of that
key are refused, too, until each user has fetched one new token. Loopback only.
Exit codes: 0 everything was as promised, 1 something was not (see stderr), 2 usage.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx

from scripts.devstack.home import DevHome
from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, fail
from scripts.proofs.rotation.drills import Drills, Report
from scripts.proofs.rotation.people import Person
from scripts.proofs.rotation.system import ProofError, System

PEOPLE: Final = 5
LIFETIME: Final = "30s"
KEEP_VERIFYING: Final = "90s"
_TIMEOUT: Final = httpx.Timeout(30)
# The service closes an idle connection after 5 s. A request sent at that moment would fail.
_LIMITS: Final = httpx.Limits(keepalive_expiry=2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the proof and return the exit code."""
    parser = Parser("scripts.proofs.rotation", __doc__)
    parser.add_argument(
        "--short", action="store_true", help="prune with --force instead of waiting"
    )
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    options = parser.parse_args(argv)
    try:
        reports = asyncio.run(_prove(short=options.short))
    except ProofError as error:
        return fail("scripts.proofs.rotation", error)
    except TimeoutError:
        return fail("scripts.proofs.rotation", "the users did not get and use new tokens in time")
    if options.json:
        print(json.dumps([{**vars(report)} for report in reports]))
    else:
        for report in reports:
            _print(report)
    return DONE


async def _prove(*, short: bool) -> list[Report]:
    with tempfile.TemporaryDirectory(prefix="rotation-") as folder:
        system = System(DevHome(Path(folder)), LIFETIME)
        try:
            _say("starting PostgreSQL, web/ and two services")
            await system.start()
            async with httpx.AsyncClient(
                trust_env=False, timeout=_TIMEOUT, limits=_LIMITS
            ) as service_client:
                people = await _people(system, service_client)
                drills = Drills(system, people, KEEP_VERIFYING, 0 if short else 91, _say)
                try:
                    return await drills.run()
                finally:
                    for person in people:
                        await person.web_client.aclose()
        finally:
            await system.stop()


async def _people(system: System, service_client: httpx.AsyncClient) -> list[Person]:
    people = []
    for number in range(PEOPLE):
        # One client each, because a shared client would share the session cookie.
        client = httpx.AsyncClient(trust_env=False, timeout=_TIMEOUT)
        person = Person(
            f"person-{number}", system.web_origin, system.services, client, service_client
        )
        await person.sign_up()
        people.append(person)
    return people


def _print(report: Report) -> None:
    print(f"{report.drill} ({report.seconds:.0f} s)")
    for kind in ("good tokens refused", "token refreshes failed"):
        report.counts.setdefault(kind, 0)
    for kind, count in sorted(report.counts.items()):
        print(f"  {count:>6}  {kind}")
    for what, value in report.measured.items():
        print(f"  {value:>6.2f}  {what}")


def _say(text: str) -> None:
    print(f"scripts.proofs.rotation: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
