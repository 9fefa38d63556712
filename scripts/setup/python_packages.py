"""Install locked Python packages with uv, which is fast, or with pip if uv fails.

Both install the same versions and check the same hashes. uv gets the configuration of pip (such as
a company's index, proxy or certificates) from `pip config list`, so users need not configure it.
Standard library only, because the set-up uses it.
"""

import ast
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from scripts.setup.steps import SetUp, SetUpError

_PIP_OPTIONS: Final = ("-m", "pip", "--disable-pip-version-check", "--no-input", "install")
_SETTING: Final = re.compile(r"^([^.=]+)\.([^=]+)=(.*)$")
# Later sections override earlier ones, as in pip.
_SECTIONS: Final = ("global", "install", ":env:")
# Options of pip, the equivalent variables of uv, and the separator of several values.
_FOR_UV: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "index-url": (("UV_DEFAULT_INDEX",), " "),
    "extra-index-url": (("UV_INDEX",), " "),
    "find-links": (("UV_FIND_LINKS",), ","),
    "trusted-host": (("UV_INSECURE_HOST",), " "),
    "cert": (("SSL_CERT_FILE",), " "),
    "client-cert": (("SSL_CLIENT_CERT",), " "),
    "proxy": (("HTTP_PROXY", "HTTPS_PROXY"), " "),
}
# uv has no variable for these, so uv cannot be used if they are set.
_PIP_ALONE: Final = frozenset({"no-index"})


def pip_install(python: Path) -> list[str]:
    """Return the start of a command that installs packages with pip."""
    return [str(python), *_PIP_OPTIONS]


def install_locked(steps: SetUp, python: Path, lock: Path, uv_lock: Path) -> None:
    """Install the packages of `lock`, with the uv of `uv_lock` if possible. Raises `SetUpError`."""
    try:
        environment = uv_environment(pip_settings(python))
        command = [*pip_install(python), "--only-binary=:all:", "--require-hashes", "-r"]
        steps.run("uv", [*command, str(uv_lock)])
        uv = [str(python.with_name("uv")), "pip", "install", "--python", str(python)]
        steps.run(
            "python-packages",
            [*uv, "--require-hashes", "-r", str(lock)],
            env={**environment, **os.environ},
        )
    except SetUpError as error:
        steps.note(f"with pip instead of uv: {error}")
        steps.run("python-packages", [*pip_install(python), "--require-hashes", "-r", str(lock)])


def uv_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for uv that correspond to pip's settings. Raises `SetUpError`."""
    alone = _PIP_ALONE & {name for name, value in settings.items() if value not in {"0", "false"}}
    if alone:
        raise SetUpError(f"pip is configured with {', '.join(sorted(alone))}")
    environment: dict[str, str] = {}
    for option, (names, separator) in _FOR_UV.items():
        if option in settings:
            environment |= dict.fromkeys(names, separator.join(settings[option].split()))
    # Like pip, uv may use any index that has the locked version. The hashes are checked.
    return {**environment, "UV_INDEX_STRATEGY": "unsafe-best-match"}


def parse_pip_settings(listing: str) -> dict[str, str]:
    """Parse the output of `pip config list`: options by name, without their sections."""
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in listing.splitlines():
        setting = _SETTING.match(line)
        if setting is not None and setting[1] in found:
            found[setting[1]][setting[2]] = str(ast.literal_eval(setting[3]))
    return {name: value for section in _SECTIONS for name, value in found[section].items()}


def pip_settings(python: Path) -> dict[str, str]:
    """Return the options that pip is configured with. Raises `SetUpError`."""
    command = [str(python), "-m", "pip", "config", "list"]
    listing = subprocess.run(command, check=False, capture_output=True, text=True)
    try:
        return parse_pip_settings(listing.stdout)
    except (ValueError, SyntaxError):
        raise SetUpError("the output of `pip config list` cannot be parsed") from None
