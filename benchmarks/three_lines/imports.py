"""The processor time of `import better_auth_keys`, as in an environment with nothing but it."""

import os
import subprocess
from pathlib import Path
from typing import Final

from scripts.setup.checkout import CHECKOUT

# httpx imports its command line where click is installed, which the library does not install.
PROGRAM: Final = """
import sys, time
sys.modules["click"] = None
before = time.process_time()
import better_auth_keys
print(time.process_time() - before)
"""


def import_seconds(python: Path, rounds: int) -> list[float]:
    """Return the processor time of the import in each of as many processes.

    The first one is left out: it may still have to compile the modules.
    """
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "keys")}
    return [_import_once(python, environment) for _ in range(rounds + 1)][1:]


def _import_once(python: Path, environment: dict[str, str]) -> float:
    done = subprocess.run(
        [python, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)
