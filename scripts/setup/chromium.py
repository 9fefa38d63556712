"""Find the Chromium that the browser tests drive: the system's, never one that is downloaded.

Standard library only: the set-up asks before anything is installed.
"""

import shutil
from pathlib import Path
from typing import Final

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_MACOS: Final = (
    Path("/Applications/Chromium.app/Contents/MacOS/Chromium"),
    Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
)


def find_chromium() -> str | None:
    """Return the path of an installed Chromium or Chrome, or None if there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    return found or next((str(path) for path in _MACOS if path.is_file()), None)
