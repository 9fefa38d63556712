"""What a cluster has besides the pods: images, Secrets, a database, an ingress controller."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from scripts.devstack.network import free_ports
from scripts.proofs.compose import stand_ins
from scripts.proofs.compose.engine import ComposeError, Engine
from scripts.proofs.compose.stack import ComposeStack
from scripts.proofs.kubernetes.ingress import caddyfile
from scripts.proofs.kubernetes.manifests import Manifest, render
from scripts.proofs.kubernetes.pods import NETWORK, PROJECT, address_of

DATABASE_ADDRESS: Final = address_of(2)
PROXY_ADDRESS: Final = address_of(3)
# The Secrets of docs/kubernetes.md, their key, and the file of `make_secrets` with the same value.
SECRETS: Final = {
    "database-app": ("url", "app_database_url"),
    "database-auth": ("url", "auth_database_url"),
    "database-owner": ("url", "owner_database_url"),
    "database-purge": ("url", "purge_database_url"),
    "better-auth-secret": ("value", "better_auth_secret"),
    "service-secret": ("value", "service_secret"),
}
_IMAGES: Final = {
    f"localhost/better-auth-resource-server:{PROJECT}": ("service.Dockerfile", "."),
    f"localhost/better-auth-resource-server-web:{PROJECT}": ("web.Dockerfile", "web"),
    f"localhost/better-auth-resource-server-caddy:{PROJECT}": ("caddy.Dockerfile", "docker"),
}
_POSTGRES: Final = f"{PROJECT}-postgres"
_INIT: Final = "/docker-entrypoint-initdb.d/init.sh"
_PROXY: Final = f"{PROJECT}-proxy"
_ROOT: Final = "/state/caddy/pki/authorities/local/root.crt"
_PATIENCE_SECONDS: Final = 60.0
_OVERLAY: Final = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - ../production
images:
  - name: registry.example.com/better-auth-resource-server
    newName: localhost/better-auth-resource-server
    newTag: {project}
  - name: registry.example.com/better-auth-resource-server-web
    newName: localhost/better-auth-resource-server-web
    newTag: {project}
configMapGenerator:
  - name: issuer
    namespace: resource-server
    behavior: merge
    literals:
      - BETTER_AUTH_URL={web}
      - SERVICE_URL={api}
      - ACCESS_TOKEN_LIFETIME=30s
  - name: service
    namespace: resource-server
    behavior: merge
    literals:
      - TRUSTED_PROXIES={proxy}
      - RATE_LIMITS=register=6/minute,login=5/minute,tasks=1000000/minute
patches:
  - target:
      kind: Ingress
      name: public
    patch: |
      - {{op: replace, path: /spec/rules/0/host, value: app.localhost}}
      - {{op: replace, path: /spec/rules/1/host, value: api.localhost}}
"""


class Surroundings:
    """Containers that Podman runs beside the pods, in their network."""

    def __init__(self, engine: Engine, folder: Path, say: Callable[[str], None]) -> None:
        self._engine = engine
        self._folder = folder
        self._say = say
        self._source = ComposeStack(engine, folder, say)
        (self._port,) = free_ports(1)
        self.web = f"https://app.localhost:{self._port}"
        """The web app's origin for browsers."""
        self.api = f"https://api.localhost:{self._port}"
        """The service's origin for browsers."""
        self.authority = folder / "root.crt"
        """The certificate of the proxy's certificate authority."""

    def render(self) -> list[Manifest]:
        """Copy the checkout, create secrets, build the images, and return the manifests."""
        self._source.prepare()
        checkout = self._source.checkout
        for image, (dockerfile, context) in _IMAGES.items():
            self._say(f"building {image}")
            file = str(checkout / "docker" / dockerfile)
            build = ("build", "--format", "docker", "-q", "-f", file, "-t", image)
            self._engine.run(*build, str(checkout / context))
        overlay = checkout / "deploy" / "kubernetes" / "proof"
        overlay.mkdir()
        text = _OVERLAY.format(project=PROJECT, web=self.web, api=self.api, proxy=PROXY_ADDRESS)
        (overlay / "kustomization.yaml").write_text(text)
        return render(overlay)

    def create_secrets(self) -> None:
        """Create the Secrets of docs/kubernetes.md."""
        for name, (key, file) in SECRETS.items():
            # Podman mounts the values of a Secret undecoded, so they are written as they are.
            value = (self._source.checkout / ".secrets" / file).read_text().strip()
            content = self._folder / "secret"
            content.write_text(json.dumps({"data": {key: value}}))
            self._engine.run("secret", "create", f"{PROJECT}-{name}", str(content))
            content.unlink()

    def secrets(self) -> list[str]:
        """Return every secret. For a URL, this is the password in it."""
        return self._source.secrets()

    def create_database(self) -> None:
        """Start PostgreSQL with our roles, as docker-compose.yml does."""
        checkout = self._source.checkout
        secrets = checkout / ".secrets"
        owner = (secrets / "postgres_password").stat()
        roles = [file for _, file in SECRETS.values() if file.endswith("_database_url")]
        mounts = [f"{secrets / file}:/run/secrets/{file}" for file in ("postgres_password", *roles)]
        mounts += [
            f"{checkout / 'docker' / 'postgres'}:/opt/postgres",
            f"{checkout / 'docker' / 'postgres' / 'init.sh'}:{_INIT}",
        ]
        self._engine.run(
            *("run", "-d", "--name", _POSTGRES, "--network", NETWORK, "--ip", DATABASE_ADDRESS),
            *("--user", f"{owner.st_uid}:{owner.st_gid}", "--cap-drop=ALL"),
            *("-v", f"{PROJECT}-socket:/var/run/postgresql"),
            *("-e", "POSTGRES_PASSWORD_FILE=/run/secrets/postgres_password"),
            *("-e", "PGDATA=/var/lib/postgresql/18/docker"),
            *(part for mount in mounts for part in ("-v", f"{mount}:ro")),
            stand_ins.POSTGRES,
        )
        self._await_database()

    def stop_database(self) -> None:
        """Stop PostgreSQL."""
        self._engine.run("stop", _POSTGRES)

    def start_database(self) -> None:
        """Start PostgreSQL again, and wait until it answers."""
        self._engine.run("start", _POSTGRES)
        self._await_database()

    def _await_database(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        ask = ("exec", _POSTGRES, "pg_isready", "--host", "127.0.0.1", "--username", "postgres")
        while "accepting" not in self._engine.run(*ask, check=False):
            if time.monotonic() > deadline:
                raise ComposeError("PostgreSQL has not started")
            time.sleep(0.5)

    def create_proxy(
        self, manifests: Sequence[Manifest], services: Sequence[str], port: int
    ) -> None:
        """Start Caddy in place of an ingress controller and of Services.

        `port` is that of the DNS server on this machine, which knows the endpoints.
        """
        file = self._folder / "Caddyfile"
        file.write_text(caddyfile(manifests, services, f"{address_of(1)}:{port}"))
        file.chmod(0o644)
        (image,) = [image for image in _IMAGES if "-caddy:" in image]
        self._engine.run(
            *("run", "-d", "--name", _PROXY, "--network", NETWORK, "--ip", PROXY_ADDRESS),
            *("-p", f"127.0.0.1:{self._port}:8443", "-v", f"{file}:/etc/caddy/Caddyfile:ro"),
            image,
        )
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self.authority.exists():
            if time.monotonic() > deadline:
                raise ComposeError("the proxy has not started")
            time.sleep(0.5)
            self._engine.run("cp", f"{_PROXY}:{_ROOT}", str(self.authority), check=False)

    def remove(self) -> None:
        """Remove everything except the images, also pods that an interrupted run left."""
        run = self._engine.run
        pods = run("pod", "ls", "-q", "--filter", f"name={PROJECT}-", check=False).split()
        for pod in pods:
            run("pod", "rm", "--force", pod, check=False)
        for container in (_POSTGRES, _PROXY):
            run("rm", "--force", "--volumes", container, check=False)
        for name in SECRETS:
            run("secret", "rm", f"{PROJECT}-{name}", check=False)
        for volume in run("volume", "ls", "-q", check=False).split():
            if volume.startswith(f"{PROJECT}-"):
                run("volume", "rm", "--force", volume, check=False)
        run("network", "rm", "--force", NETWORK, check=False)
