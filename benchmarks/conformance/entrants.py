"""The compared servers: how each is started, and how the check is configured for it."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.peers.packages import Packages
from better_auth_keys import JWKS_PATH
from scripts.setup.checkout import CHECKOUT

_NODE_PEERS: Final = CHECKOUT / "benchmarks" / "peers"


@dataclass(frozen=True)
class Entrant:
    """A server in `servers/`, or in Node, and the options of the check."""

    name: str
    title: str
    path: str = "/me"
    options: tuple[str, ...] = ()
    https: bool = False
    """Whether it requires an issuer with https, which is named with a slash at the end."""


OURS: Final = Entrant("ours", "better-auth-keys", options=("--algorithms", "EdDSA,RS256"))
EXPRESS: Final = "express-me"
ENTRANTS: Final = (
    OURS,
    Entrant("bridge", "fastapi-better-auth-bridge"),
    Entrant("auth0", "auth0-fastapi-api", options=("--algorithms", "RS256"), https=True),
    Entrant("pyjwt", "PyJWT, as in FastAPI's tutorial"),
    # Without a session of the Model Context Protocol, an authenticated GET is answered with 400.
    Entrant("fastmcp", "FastMCP's JWTVerifier", "/mcp", ("--accepted", "400")),
    Entrant(EXPRESS, "express-oauth2-jwt-bearer"),
)


@dataclass(frozen=True)
class Site:
    """Where a server and its issuer listen, and a folder for files."""

    port: int
    issuer_port: int
    folder: Path

    @property
    def certificate(self) -> Path:
        """The key and the certificate of an issuer with https."""
        return self.folder / "issuer.pem"

    @property
    def report(self) -> Path:
        """What the check found."""
        return self.folder / "report.json"

    def issuer_of(self, entrant: Entrant) -> str:
        """Return the URL of the issuer."""
        host = f"127.0.0.1:{self.issuer_port}"
        return f"https://{host}/" if entrant.https else f"http://{host}"


def server_of(
    entrant: Entrant, site: Site, packages: Packages
) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return the command that starts a server and its environment, with its packages installed.

    Raises `SetUpError`.
    """
    path = [str(CHECKOUT), str(CHECKOUT / "keys")]
    app = f"benchmarks.conformance.servers.{entrant.name}:app"
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(site.port)]
    if entrant.name == EXPRESS:
        command = [packages.node(), str(_NODE_PEERS / f"{EXPRESS}.mjs")]
    elif entrant is not OURS:
        path.append(str(packages.conformance()))
    issuer = site.issuer_of(entrant)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(site.folder),
        "PYTHONPATH": os.pathsep.join(path),
        "PORT": str(site.port),
        "ISSUER": issuer,
        "JWKS_URL": f"{issuer.rstrip('/')}{JWKS_PATH}",
    }
    if entrant.https:
        # In place of the public authorities, which nothing here needs.
        environment["SSL_CERT_FILE"] = str(site.certificate)
    return command, environment


def check_of(entrant: Entrant, site: Site) -> Sequence[str]:
    """Return the command of the check, which writes `site.report`."""
    url = f"http://127.0.0.1:{site.port}{entrant.path}"
    ports = ["--issuer-port", str(site.issuer_port), "--issuer", site.issuer_of(entrant)]
    tls = ["--certificate", str(site.certificate)] if entrant.https else []
    check = [sys.executable, "-m", "better_auth_keys.testing.check", url, *ports, *tls]
    return [*check, *entrant.options, "--json", str(site.report)]
