"""Take the pictures of the web app for README.md and docs/web-app.md.

    python -m scripts.proofs.web_app.pictures [FOLDER]

It starts the system, creates a user with a few tasks, and walks through the pages. The pictures go
to docs/pictures, or to FOLDER. Each must stay below 60 kB. Exit codes: 0 done, 1 failed, 2 usage.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from playwright.async_api import Browser, Page, ViewportSize, expect

from scripts.operations.exit_codes import DONE, fail
from scripts.proofs.web_app.accounts import Account, account
from scripts.proofs.web_app.network import Network
from scripts.proofs.web_app.stack import WebStack
from scripts.proofs.web_app.stand import EXPECTED_ERRORS, stand
from scripts.proofs.web_app.task_page import add, edit, rename, row, rows
from scripts.proofs.web_app.visit import PHONE, visiting
from scripts.setup.checkout import CHECKOUT

FOLDER: Final = CHECKOUT / "docs" / "pictures"
LARGEST_BYTES: Final = 60_000
_WINDOW: Final = ViewportSize(width=840, height=560)
# Not as high as a phone: a picture grows with its height.
_SCREEN: Final = ViewportSize(width=PHONE["width"], height=560)
_WAIT_MS: Final = 30_000
_TELEPHONE: Final = (
    "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/150.0.0.0 Mobile Safari/537.36"
)
_COMPUTER: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"


class PictureError(Exception):
    """A picture is too large. The message is one line."""


@dataclass(frozen=True)
class Camera:
    """Takes pictures of the pages of one user."""

    browser: Browser
    user: Account
    folder: Path

    @asynccontextmanager
    async def opened(
        self, viewport: ViewportSize, scheme: Literal["light", "dark"]
    ) -> AsyncIterator[tuple[Page, Network]]:
        """Open the task page in a window, and wait for the tasks."""
        async with visiting(
            self.browser, self.user.stack, viewport=viewport, scheme=scheme, reduced_motion=True
        ) as visit:
            await visit.use(self.user)
            network = await Network.of(visit.page)
            await visit.open()
            await expect(rows(visit.page)).to_have_count(len(_tasks()))
            yield visit.page, network

    async def take(self, page: Page, name: str) -> Path:
        """Write a picture of a window. Raises `PictureError` if it is too large."""
        path = self.folder / f"{name}.png"
        await page.mouse.move(0, 0)
        await page.evaluate("window.scrollTo(0, 0)")
        picture = await page.screenshot(animations="disabled", caret="hide")
        if len(picture) > LARGEST_BYTES:
            raise PictureError(f"{name} has {len(picture)} bytes, more than {LARGEST_BYTES}")
        path.write_bytes(picture)
        return path


def _tasks() -> Sequence[Mapping[str, Any]]:
    """Return the tasks of the pictures, the oldest first."""
    now = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)

    def in_days(days: int) -> str:
        return (now + timedelta(days=days)).isoformat()

    return (
        {"title": "Renew the passport", "completed": True},
        {"title": "Read the README", "completed": True},
        {"title": "Return the library books", "due_at": in_days(-2)},
        {"title": "Call the dentist", "due_at": in_days(1)},
        {
            "title": "Prepare the talk about key rotation",
            "description": "Fifteen minutes, with a demonstration: publish, activate, retire.",
            "priority": 3,
            "due_at": in_days(4),
        },
        {"title": "Water the plants", "due_at": in_days(0), "priority": 1},
        {"title": "Book a table for Friday", "description": "Six people, by the window."},
    )


async def walk(browser: Browser, stack: WebStack, folder: Path) -> list[Path]:
    """Walk through the pages, and return the pictures. Raises `PictureError`."""
    taken: list[Path] = []
    async with account(stack, "Ada", signed_up=False) as ada:
        # Two devices: the account page lists both.
        ada.http.headers["User-Agent"] = _TELEPHONE
        await ada.sign_up()
        ada.http.headers["User-Agent"] = _COMPUTER
        await ada.sign_in()
        for task in _tasks():
            (await ada.call("POST", "/api/tasks", task)).raise_for_status()
        camera = Camera(browser, ada, folder)
        async with camera.opened(_SCREEN, "dark") as (page, _):
            taken.append(await camera.take(page, "phone"))
        async with camera.opened(_WINDOW, "light") as (page, network):
            taken.append(await camera.take(page, "tasks"))
            await edit(page, "Prepare the talk about key rotation")
            taken.append(await camera.take(page, "edit"))
            await page.keyboard.press("Escape")
            taken.append(await _conflict(camera, page, network))
            taken.append(await _outage(camera, page))
            await page.goto(f"{stack.app_origin}/account")
            await expect(page.get_by_role("heading", name="Your account")).to_be_visible()
            taken.append(await camera.take(page, "account"))
    return taken


async def _conflict(camera: Camera, page: Page, network: Network) -> Path:
    """Change a task while it is changed elsewhere, which the page has not seen yet."""
    title, user = "Book a table for Friday", camera.user
    (task,) = [each for each in await user.tasks() if each["title"] == title]
    path = f"/api/tasks/{task['id']}"
    async with network.held_requests(f"{path}$", method="PATCH") as held:
        await rename(page, title, f"{title} evening")
        await held.until(1)
        (await user.call("PATCH", path, {"title": "Book a table for Saturday"})).raise_for_status()
    await expect(page.get_by_role("button", name="Keep mine")).to_be_visible()
    picture = await camera.take(page, "conflict")
    await page.get_by_role("button", name="Keep theirs").click()
    return picture


async def _outage(camera: Camera, page: Page) -> Path:
    """Add a task while the service is down."""
    async with camera.user.stack.service.stopped():
        await add(page, "Buy stamps")
        discard = row(page, "Buy stamps").get_by_role("button", name="Discard")
        await expect(discard).to_be_visible(timeout=_WAIT_MS)
        return await camera.take(page, "outage")


def main(argv: Sequence[str]) -> int:
    """Take the pictures, print their sizes, and return the exit code."""
    description, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="pictures",
        description=description,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER, help=f"{FOLDER}")
    folder: Path = parser.parse_args(argv).folder

    async def take() -> list[Path]:
        async with stand() as (browser, stack):
            return await walk(browser, stack, folder)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        pictures = asyncio.run(take())
    except (*EXPECTED_ERRORS, PictureError, OSError) as error:
        return fail("pictures", error)
    for picture in pictures:
        print(f"{picture.stat().st_size:6} {picture}")
    return DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
