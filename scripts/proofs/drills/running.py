"""Run drills one after the other, on one stage."""

import asyncio
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from scripts.devstack.postgres.files import open_folder
from scripts.proofs.drills import report
from scripts.proofs.drills.drill import KEPT, NOT_KEPT, NOT_RUN, Drill, NotRunError, Result, Seen
from scripts.proofs.drills.system.stage import Options, Stage, set_stage
from scripts.proofs.drills.system.waiting import StageError
from service.database.command_connection import DatabaseError


async def run(
    drills: Sequence[Drill], results: list[Result], say: Callable[[str], None], options: Options
) -> None:
    """Run the drills, and add the result of each. Raises `PostgresError`."""
    with tempfile.TemporaryDirectory(prefix="drills-") as name:
        folder = Path(name)
        open_folder(folder)  # as root, the database server's account must be able to enter it
        async with set_stage(folder, options, say) as stage:
            for drill in drills:
                say(f"{drill.name} ...")
                result = await _run_one(drill, stage)
                results.append(result)
                say(f"{report.line(result)}, {result.seconds:.0f} s")


async def _run_one(drill: Drill, stage: Stage) -> Result:
    began = time.monotonic()
    verdict, seen = NOT_KEPT, Seen()
    try:
        async with asyncio.timeout(drill.seconds):
            seen = await drill.run(stage)
        verdict = NOT_KEPT if seen.broken else KEPT
    except NotRunError as error:
        verdict = NOT_RUN
        seen.fact(str(error))
    except TimeoutError:
        seen.broken.append(f"did not end within {drill.seconds:.0f} s")
    except (StageError, DatabaseError) as error:
        seen.broken.append(str(error))
    except Exception as error:  # noqa: BLE001 - the other drills go on
        seen.broken.append(f"{type(error).__name__}: {error}")
        stage.say(traceback.format_exc())
    finally:
        seen.facts += await stage.streams.end()
        await stage.clean_up()
    return Result(drill, seen, verdict, time.monotonic() - began)
