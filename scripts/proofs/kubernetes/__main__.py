"""Prove the Kubernetes manifests, as far as that goes without a cluster.

    python -m scripts.proofs.kubernetes          everything, about five minutes the first time
    python -m scripts.proofs.kubernetes --json   write JSON for machines

Renders deploy/kubernetes with an overlay of its own, and runs the pods with `podman kube play` (as
root) behind Caddy. Beside the pods it does what controllers of a cluster would do: endpoints,
probes, rolling updates (cluster.py and pods.py list the differences). What only a cluster has is
not proved: scheduling, NetworkPolicies, admission, autoscaling. Base images that cannot be pulled
are built as stand-ins. At the end it removes everything but the images.
Exit codes: 0 everything was as promised, 1 something was not (see stderr), 2 usage.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, fail
from scripts.proofs.compose import stand_ins
from scripts.proofs.compose.engine import ComposeError, Engine
from scripts.proofs.compose.shared_drills import Report
from scripts.proofs.kubernetes.cluster import Cluster
from scripts.proofs.kubernetes.drills import Drills
from scripts.proofs.kubernetes.endpoints import Endpoints
from scripts.proofs.kubernetes.manifests import RenderError
from scripts.proofs.kubernetes.surroundings import Surroundings

_COMMAND = "scripts.proofs.kubernetes"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the proof and return the exit code."""
    parser = Parser(_COMMAND, __doc__)
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    options = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="kubernetes-") as folder:
            # Containers run as another user.
            Path(folder).chmod(0o711)
            made, reports = _prove(Path(folder))
    except (ComposeError, RenderError) as error:
        return fail(_COMMAND, error)
    if options.json:
        drills = [vars(report) for report in reports]
        print(json.dumps({"stand_ins": made, "drills": drills}))
        return DONE
    for name in made:
        print(f"stand-in  {name}")
    for report in reports:
        print(report.drill)
        for what, value in report.figures.items():
            print(f"  {value:>8.2f}  {what}" if value % 1 else f"  {value:>8.0f}  {what}")
    return DONE


def _prove(folder: Path) -> tuple[list[str], list[Report]]:
    engine = Engine.podman(folder)
    made = stand_ins.provide(engine, folder, _say)
    with Endpoints() as names:
        surroundings = Surroundings(engine, folder, _say)
        surroundings.remove()  # of an interrupted run
        try:
            cluster = Cluster(engine, folder, names, surroundings, _say)
            cluster.up()
            reports = asyncio.run(Drills(cluster, _say).run())
        finally:
            surroundings.remove()
    return made, reports


def _say(text: str) -> None:
    print(f"{_COMMAND}: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
