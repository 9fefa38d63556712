"""HTTPS for the development stack: Caddy with its own authority, and how to trust that."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.devstack.home import DevHome
from scripts.operations.private_files import make_private_folder, write_private
from scripts.setup.checkout import CHECKOUT

APP_HOST: Final = "app.localhost"
API_HOST: Final = "api.localhost"
CADDYFILE: Final = CHECKOUT / "docker" / "Caddyfile"


@dataclass(frozen=True)
class HttpsFront:
    """The proxy of one stack, on one port of this machine.

    Browsers and curl resolve `app.localhost`, but other programs may not. So web/ also answers at
    `https://localhost:<port>`, where the service fetches the keys.
    """

    home: DevHome
    port: int

    @property
    def app_origin(self) -> str:
        """The web app's origin for browsers."""
        return f"https://{APP_HOST}:{self.port}"

    @property
    def api_origin(self) -> str:
        """The service's origin for browsers."""
        return f"https://{API_HOST}:{self.port}"

    @property
    def internal_origin(self) -> str:
        """The web app's origin for programs on this machine."""
        return f"https://localhost:{self.port}"

    @property
    def folder(self) -> Path:
        """The folder with the proxy's authority and certificates. Its keys have mode 0600."""
        return self.home.folder / "caddy"

    @property
    def authority(self) -> Path:
        """The authority's certificate."""
        return self.folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"

    @property
    def command(self) -> tuple[str, ...]:
        """The command that runs the proxy."""
        caddy = shutil.which("caddy", path=str(Path(sys.executable).parent)) or "caddy"
        return (caddy, "run", "--config", str(CADDYFILE), "--adapter", "caddyfile")

    def environment(self, *, web_port: int, port: int) -> dict[str, str]:
        """Return the proxy's settings."""
        make_private_folder(self.folder)
        return {
            "XDG_DATA_HOME": str(self.folder),
            "XDG_CONFIG_HOME": str(self.folder),
            "BIND": "127.0.0.1",
            "LOG_LEVEL": "ERROR",
            "HTTPS_PORT": str(self.port),
            "APP_ADDRESSES": f"{self.app_origin}, {self.internal_origin}",
            "API_ADDRESSES": self.api_origin,
            "WEB_UPSTREAM": f"127.0.0.1:{web_port}",
            "SERVICE_UPSTREAMS": f"127.0.0.1:{port}",
        }

    def trusting(self, surroundings: Mapping[str, str]) -> dict[str, str]:
        """Return the settings with which Node trusts the authority, too."""
        added = surroundings.get("NODE_EXTRA_CA_CERTS")
        if not added or not os.access(added, os.R_OK):
            return {"NODE_EXTRA_CA_CERTS": str(self.authority)}
        both = self.folder / "authorities.pem"
        write_private(both, f"{Path(added).read_text()}\n{self.authority.read_text()}")
        return {"NODE_EXTRA_CA_CERTS": str(both)}

    def instructions(self) -> str:
        """Return how to make this machine trust the authority, and how to undo it."""
        return _INSTRUCTIONS.format(file=self.authority)


_INSTRUCTIONS: Final = """\
The certificate authority of this stack: {file}
Anyone who has its key (in the same folder, mode 0600) can impersonate any site to those who trust
it.

one curl            curl --cacert {file} https://...
Node, Python        NODE_EXTRA_CA_CERTS={file}  SSL_CERT_FILE={file}

Chromium on Linux   certutil -A -d sql:$HOME/.pki/nssdb -t C,, -n better-auth-dev -i {file}
  undo              certutil -D -d sql:$HOME/.pki/nssdb -n better-auth-dev
Firefox             Settings, Privacy & Security, View Certificates, Authorities, Import
Debian, Ubuntu      sudo cp {file} /usr/local/share/ca-certificates/better-auth-dev.crt
                    sudo update-ca-certificates
  undo              sudo rm /usr/local/share/ca-certificates/better-auth-dev.crt
                    sudo update-ca-certificates --fresh
macOS               sudo security add-trusted-cert -d -r trustRoot \\
                      -k /Library/Keychains/System.keychain {file}
"""
