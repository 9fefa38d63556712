"""A drill of the compose stack: one replica's container is replaced while users use the other.

It builds the images (a few minutes) and runs the stack of `scripts.proofs.compose`. It needs a
Docker daemon, or Podman as root with podman-compose.
"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from scripts.proofs.compose import stand_ins, visitors
from scripts.proofs.compose.engine import ComposeError, Engine, HealthTicker
from scripts.proofs.compose.stack import PROJECT, REPLICAS, ComposeStack
from scripts.proofs.compose.visitors import Writer
from scripts.proofs.drills.drill import Drill, NotRunError, Seen
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.traffic import milliseconds

_PEOPLE: Final = 6
_SLOWEST_SECONDS: Final = 1.0
_UNDER_LOAD_SECONDS: Final = 3.0


async def replaced(stage: Stage) -> Seen:
    """Replace one replica's container after the other, then web/'s, and watch every request."""
    seen = Seen()
    folder = stage.folder / "compose"
    await asyncio.to_thread(folder.mkdir)
    try:
        engine = await asyncio.to_thread(Engine.find, folder)
    except ComposeError as error:
        raise NotRunError(str(error)) from error
    async with AsyncExitStack() as stack:
        compose = await asyncio.to_thread(_up, engine, folder, stage, stack)
        writers = await _writers(compose, stack)
        lives = [asyncio.create_task(writer.live()) for writer in writers]
        try:
            await asyncio.sleep(_UNDER_LOAD_SECONDS)
            await asyncio.to_thread(compose.upgrade)
            await asyncio.sleep(_UNDER_LOAD_SECONDS)
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)
        for writer in writers:
            await _count(writer, seen)
    slowest = max(writer.slowest for writer in writers)
    seen.require(slowest < _SLOWEST_SECONDS, f"a request took {milliseconds(slowest)}")
    seen.fact(f"{REPLICAS} replicas replaced, slowest request {milliseconds(slowest)}")
    return seen


def _up(engine: Engine, folder: Path, stage: Stage, stack: AsyncExitStack) -> ComposeStack:
    stand_ins.provide(engine, folder, stage.say)
    compose = ComposeStack(engine, folder, stage.say)
    compose.prepare()
    compose.down()  # of an interrupted run
    compose.build()
    stack.callback(compose.down)
    stack.enter_context(HealthTicker(engine, PROJECT))
    compose.up()
    return compose


async def _writers(compose: ComposeStack, stack: AsyncExitStack) -> list[Writer]:
    web, api = (f"https://{name}.localhost:{compose.https_port}" for name in ("app", "api"))
    writers = []
    for number in range(_PEOPLE):
        person = await visitors.sign_up(
            f"person-{number}", web=web, api=api, authority=compose.authority
        )
        stack.push_async_callback(person.web_client.aclose)
        writers.append(Writer(person, api))
    return writers


async def _count(writer: Writer, seen: Seen) -> None:
    seen.requests += writer.counts.total()
    lost = {kind: count for kind, count in writer.counts.items() if "lost" in kind}
    seen.require(not lost, f"{writer.person.name}: {lost}")
    await writer.person.refresh()
    missing = len(writer.created - await writer.listed())
    seen.lost += missing
    seen.require(not missing, f"{missing} tasks of {writer.person.name} are missing")


DRILLS: Final = (
    Drill(
        (84,),
        "one replica's container replaced under load",
        "no request to the other replica takes over 1 s",
        replaced,
        seconds=900,
    ),
)
