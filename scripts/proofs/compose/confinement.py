"""Check what each container can see and reach: secrets, settings, replicas, the database."""

from collections.abc import Iterable, Mapping
from typing import Final

from scripts.proofs.compose.engine import ComposeError, Engine
from scripts.proofs.compose.stack import HEARD, IMAGES, PROJECT, SERVICES, ComposeStack

_SIGNING: Final = frozenset({"auth_database_url", "better_auth_secret"})
_OF_ROLES: Final = frozenset(f"{role}_database_url" for role in ("owner", "app", "auth", "purge"))
HELD: Final[Mapping[str, frozenset[str]]] = {
    "postgres": _OF_ROLES | {"postgres_password"},
    "migrate": frozenset({"owner_database_url"}),
    "web": _SIGNING,
    "service": frozenset({"app_database_url", "service_secret"}),
    "valkey": frozenset(),
    "caddy": frozenset(),
    "prometheus": frozenset(),
    "grafana": frozenset(),
    "ops": _SIGNING | {"app_database_url"},
    "rotation": _SIGNING | {"app_database_url"},
    "purge": frozenset({"purge_database_url", "auth_database_url"}),
    "backup": frozenset({"postgres_password"}),
}
"""The secrets that each container gets."""

_PORT: Final = 8000
_PRIVATE: Final = f"{PROJECT}_proxy"  # the network of the replicas and the proxy only
_TRIES: Final = 12
_LIMIT: Final = 5
# Settings that the compose file refuses.
_REFUSED: Final = ("DATABASE_URL", "TRUSTED_PROXIES", "HOST")
_LOOK: Final = "ls /run/secrets 2>/dev/null; echo --; env"
# Prints each address where the port is open, and the status of /metrics there.
_KNOCK: Final = """
import http.client, sys
for address in sys.argv[1:]:
    connection = http.client.HTTPConnection(address, {port}, timeout=1)
    try:
        connection.connect()
        print("reached", address)
        connection.request("GET", "/metrics")
        print("status", connection.getresponse().status)
    except OSError:
        pass
"""
# Signs in with a wrong password, each time with another client address.
_FORGE: Final = """
import http.client, json, sys
for number in range({tries}):
    body = json.dumps({{"email": f"nobody-{{number}}@example.com", "password": "wrong password"}})
    headers = {{"Content-Type": "application/json", "X-Forwarded-For": f"203.0.113.{{number}}",
               "X-Forwarded-Proto": "https"}}
    connection = http.client.HTTPConnection(sys.argv[1], {port}, timeout=20)
    connection.request("POST", "/api/auth/login", body, headers)
    print("status", connection.getresponse().status)
"""
# What the role app must not do: database, statement, error.
_DATABASE_ATTEMPTS: Final = (
    ("postgres", "SELECT 1", "permission denied for database"),
    ("template1", "SELECT 1", "permission denied for database"),
    ("resource_server", "CREATE TEMPORARY TABLE t ()", "permission denied to create temporary"),
    ("resource_server", "SELECT lo_create(0)", "permission denied for function"),
)
_AS_APP: Final = (
    'url=$(sed "s,@postgres/.*,@127.0.0.1/$1," /run/secrets/app_database_url);'
    ' psql --no-psqlrc "$url" -c "$2" 2>&1'
)


class Confinement:
    """Looks at a running stack from inside its containers."""

    def __init__(self, stack: ComposeStack, engine: Engine) -> None:
        self._stack = stack
        self._engine = engine

    def secrets(self) -> int:
        """Check the secrets of all containers, and return the number of containers.

        Raises `ComposeError` if a container sees other secrets than its own, or has a secret in its
        environment.
        """
        for service in SERVICES:
            if service != "migrate":
                for container in self._stack.containers(service):
                    self.check_secrets(service, self._stack.execute(container, "sh", "-c", _LOOK))
        # These do not keep running.
        for service in ("migrate", "ops"):
            self.check_secrets(service, self._stack.run(service, "sh", "-c", _LOOK))
        return len(SERVICES) + 1

    def check_timer(self, timer: str) -> None:
        """Check the secrets of a running timer. Raises `ComposeError`."""
        self.check_secrets(timer, self._stack.execute(timer, "sh", "-c", _LOOK))

    def check_secrets(self, service: str, seen: str) -> None:
        """Compare the secrets that a container sees with its own. Raises `ComposeError`."""
        names, _, environment = seen.partition("--\n")
        if {*names.split()} != HELD[service]:
            raise ComposeError(f"{service} sees the secrets {' '.join(names.split()) or 'none'}")
        if any(secret in environment for secret in self._stack.secrets()):
            raise ComposeError(f"a secret is in the environment of {service}")

    def settings(self) -> int:
        """Check that the replicas get the settings in .env, and return the number of settings.

        Raises `ComposeError` if one is missing, or if the stack starts although .env has a setting
        that the compose file does not pass on.
        """
        for replica in self._stack.replicas:
            rows = self._stack.read_json(replica, "check-config", "--json")["settings"]
            found = {row["name"]: (row["source"], row["value"]) for row in rows}
            for name, value in HEARD.items():
                if found[name] != ("environment", value):
                    raise ComposeError(f"{replica} does not get {name}: {found[name]}")
        for name in _REFUSED:
            try:
                self._stack.run("migrate", environment={name: "192.0.2.1"})
            except ComposeError as error:
                if f"{name}: " not in str(error):
                    raise
            else:
                raise ComposeError(f"{name} is neither passed on nor refused")
        return len(HEARD)

    def neighbours(self) -> int:
        """Connect to the replicas' port from all other containers; return the number of attempts.

        Raises `ComposeError` if any container but the proxy reaches it.
        """
        attempts = 0
        for replica in self._stack.replicas:
            addresses = [*self._stack.addresses(replica).values()]
            knock = ("python", "-c", _KNOCK.format(port=_PORT), *addresses)
            # Check that the port is open from the proxy's network. Otherwise this proves nothing.
            if "status 200" not in self._container([_PRIVATE], *knock):
                raise ComposeError(f"{replica} does not answer")
            others = [name for name in SERVICES if name not in {"service", "caddy", "migrate"}]
            reached = {
                name: self._container(self._stack.addresses(name), *knock) for name in others
            }
            reached["ops"] = self._stack.run("ops", *knock)
            reached["another project"] = self._container(["bridge"], *knock)
            for name, answers in reached.items():
                attempts += len(addresses)
                if answers.strip():
                    raise ComposeError(f"{name} reaches {replica}: {' '.join(answers.split())}")
        return attempts

    def forged(self) -> int:
        """Sign in with forged addresses from the proxy's network; return how many were let through.

        Raises `ComposeError` if the attempts are not counted as one client's.
        """
        replica, network = self._stack.replicas[0], _PRIVATE
        forge = _FORGE.format(tries=_TRIES, port=_PORT)
        address = self._stack.addresses(replica)[network]
        said = self._container([network], "python", "-c", forge, address)
        statuses = said.replace("status", "").split()
        let = sum(status != "429" for status in statuses)
        if len(statuses) != _TRIES or let > _LIMIT:
            raise ComposeError(f"attempts with forged addresses: {' '.join(statuses)}")
        return let

    def database(self) -> int:
        """Try what the role app must not do, and return the number of attempts.

        Raises `ComposeError`.
        """
        for database, statement, refusal in _DATABASE_ATTEMPTS:
            said = self._stack.execute("postgres", "sh", "-c", _AS_APP, "sh", database, statement)
            if refusal not in said:
                raise ComposeError(f"app in {database}: {statement}: {said.strip()[:200]}")
        return len(_DATABASE_ATTEMPTS)

    def _container(self, networks: Iterable[str], *command: str) -> str:
        """Run a command in a new container in these networks."""
        joined = (f"--network={network}" for network in networks)
        return self._engine.run("run", "--rm", *joined, "--cap-drop=ALL", IMAGES[0], *command)
