"""All drills, in the order in which they run."""

from typing import Final

from scripts.proofs.drills.drill import Drill
from scripts.proofs.drills.rows import (
    connections,
    containers,
    database_failures,
    edge,
    keys,
    lifecycle,
    migrations,
    overload,
    redis_failures,
    revocations,
    statements,
    workers,
)

DRILLS: Final[tuple[Drill, ...]] = (
    *edge.DRILLS,
    *database_failures.DRILLS,
    *statements.DRILLS,
    *connections.DRILLS,
    *lifecycle.DRILLS,
    *overload.DRILLS,
    *redis_failures.DRILLS,
    *workers.DRILLS,
    *revocations.DRILLS,
    *keys.DRILLS,
    *migrations.DRILLS,
    *containers.DRILLS,
)


def chosen(only: str | None) -> list[Drill]:
    """Return the drills with at least one of these rows; all of them without `only`.

    Raises `ValueError` for a row without a drill.
    """
    if only is None:
        return [*DRILLS]
    wanted = {int(part) if part.strip().isdecimal() else part for part in only.split(",")}
    known = {row for drill in DRILLS for row in drill.rows}
    if unknown := sorted(map(str, wanted - known)):
        raise ValueError(f"no drill for {', '.join(unknown)}; --list shows all drills")
    return [drill for drill in DRILLS if wanted & set(drill.rows)]
