"""The folders of this checkout. Standard library only."""

from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[2]
WEB: Final = CHECKOUT / "web"
PYRIGHT: Final = CHECKOUT / "tests" / "pyright"
LINTERS: Final = CHECKOUT / "scripts" / "setup" / "linters"
VENV: Final = CHECKOUT / ".venv"
PYTHON: Final = VENV / "bin" / "python"
