"""Show that nobody notices a rotation: the real Better Auth, two services, people who use them.

    python -m scripts.proofs.rotation          all drills, about four minutes
    python -m scripts.proofs.rotation --short  prune a retired key by force instead of waiting
    python -m scripts.proofs.rotation --json   the same for machines

While five people use the services and fetch new tokens, an operator rotates the signing key
(publish, activate, retire, prune), adds ES256 to EdDSA and then ends EdDSA, changes Better Auth's
secret, and revokes a key of which somebody forges tokens. No good token may be refused, or left
undecided; after the revocation the forged token must be refused by both services within a second,
and the others are refused until they have fetched one new token each. Loopback only.
Exit codes: 0 all of it is so, 1 something is not (which, on stderr), 2 usage.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx

from scripts.operations.commands import DONE, FAILED, Parser
from scripts.proofs.rotation.drills import Drills, Report
from scripts.proofs.rotation.people import Person
from scripts.proofs.rotation.system import ProofError, System, home_in

PEOPLE: Final = 5
LIFETIME: Final = "30s"
KEEP_VERIFYING: Final = "90s"
_TIMEOUT: Final = httpx.Timeout(30)
# The service closes an idle connection after 5 s; one used just then would be a failed request.
_LIMITS: Final = httpx.Limits(keepalive_expiry=2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the proof; give the exit code."""
    parser = Parser("scripts.proofs.rotation", __doc__)
    parser.add_argument("--short", action="store_true", help="do not wait for a key to be prunable")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    options = parser.parse_args(argv)
    try:
        reports = asyncio.run(_prove(short=options.short))
    except ProofError as error:
        return _fail(str(error))
    except TimeoutError:
        return _fail("people did not get on with their new tokens in time")
    if options.json:
        print(json.dumps([{**vars(report)} for report in reports]))
    else:
        for report in reports:
            _tell(report)
    return DONE


async def _prove(*, short: bool) -> list[Report]:
    with tempfile.TemporaryDirectory(prefix="rotation-") as folder:
        system = System(home_in(Path(folder)), LIFETIME)
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
        # A client for each: a shared one would send the first one's cookie for all.
        client = httpx.AsyncClient(trust_env=False, timeout=_TIMEOUT)
        person = Person(
            f"person-{number}", system.web_origin, system.services, client, service_client
        )
        await person.sign_up()
        people.append(person)
    return people


def _tell(report: Report) -> None:
    print(f"{report.drill} ({report.seconds:.0f} s)")
    for kind in ("good tokens refused", "token refreshes failed"):
        report.counts.setdefault(kind, 0)
    for kind, count in sorted(report.counts.items()):
        print(f"  {count:>6}  {kind}")
    for what, value in report.measured.items():
        print(f"  {value:>6.2f}  {what}")


def _fail(text: str) -> int:
    _say(text)
    return FAILED


def _say(text: str) -> None:
    print(f"scripts.proofs.rotation: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
