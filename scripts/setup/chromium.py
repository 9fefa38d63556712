"""Find the Chromium for the browser tests. Only an installed one is used, never a download.

Standard library only, because the set-up uses it.
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
