"""What each container can see and reach: secrets, settings, the service's port, the database."""

from collections.abc import Iterable, Mapping
from typing import Final

from scripts.proofs.compose.engine import ComposeError, Engine
from scripts.proofs.compose.stack import HEARD, IMAGES, PROJECT, REPLICAS, SERVICES, ComposeStack

_SIGNING: Final = frozenset({"auth_database_url", "better_auth_secret"})
_OF_ROLES: Final = frozenset(f"{role}_database_url" for role in ("owner", "app", "auth", "purge"))
HELD: Final[Mapping[str, frozenset[str]]] = {
    "postgres": _OF_ROLES | {"postgres_password"},
    "migrate": frozenset({"owner_database_url"}),
    "web": _SIGNING,
    "service-1": frozenset({"app_database_url", "service_secret"}),
    "service-2": frozenset({"app_database_url", "service_secret"}),
    "caddy": frozenset(),
    "ops": _SIGNING | {"app_database_url"},
    "rotation": _SIGNING | {"app_database_url"},
    "purge": frozenset({"purge_database_url", "auth_database_url"}),
}
"""The secrets that each container uses, and is given."""

_PORT: Final = 8000
_TRIES: Final = 12
_LIMIT: Final = 5
# Refused by the compose file, and by what name.
_REFUSED: Final = ("DATABASE_URL", "TRUSTED_PROXIES", "HOST")
_LOOK: Final = "ls /run/secrets 2>/dev/null; echo --; env"
# Prints each address at which /metrics answered, or that the port was open there at least.
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
# Signs in with a password that is wrong, each time as another client.
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
# What role app must not do, in which database.
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
    """Looks at a stack that is up from the inside of its containers."""

    def __init__(self, stack: ComposeStack, engine: Engine) -> None:
        self._stack = stack
        self._engine = engine

    def secrets(self) -> int:
        """Look for secrets in the containers that run; return how many containers there were.

        Raises `ComposeError` where a container sees any but its own, or has one in its environment.
        """
        for service in SERVICES:
            if service != "migrate":
                self.check_secrets(service, self._stack.execute(service, "sh", "-c", _LOOK))
        # These have ended, or run at certain times only.
        for service in ("migrate", "ops"):
            self.check_secrets(service, self._stack.run(service, "sh", "-c", _LOOK))
        return len(SERVICES) + 1

    def check_timer(self, timer: str) -> None:
        """Look for secrets in a timer that runs. Raises `ComposeError`."""
        self.check_secrets(timer, self._stack.execute(timer, "sh", "-c", _LOOK))

    def check_secrets(self, service: str, seen: str) -> None:
        """Compare what a container sees with what it is to see. Raises `ComposeError`."""
        names, _, environment = seen.partition("--\n")
        if {*names.split()} != HELD[service]:
            raise ComposeError(f"{service} sees the secrets {' '.join(names.split()) or 'none'}")
        if any(secret in environment for secret in self._stack.secrets()):
            raise ComposeError(f"a secret is in the environment of {service}")

    def settings(self) -> int:
        """See whether the replicas hear what .env says, and return the number of settings.

        Raises `ComposeError` where one is not heard, and where the stack would start although .env
        sets what it does not pass on.
        """
        for replica in REPLICAS:
            rows = self._stack.read_json(replica, "check-config", "--json")["settings"]
            found = {row["name"]: (row["source"], row["value"]) for row in rows}
            for name, value in HEARD.items():
                if found[name] != ("environment", value):
                    raise ComposeError(f"{replica} does not hear {name}: {found[name]}")
        for name in _REFUSED:
            try:
                self._stack.run("migrate", environment={name: "192.0.2.1"})
            except ComposeError as error:
                if f"{name}: " not in str(error):
                    raise
            else:
                raise ComposeError(f"{name} is neither heard nor refused")
        return len(HEARD)

    def neighbours(self) -> int:
        """Knock at the replicas' port from everywhere else; return how often that was.

        Raises `ComposeError` where anything but the proxy gets an answer.
        """
        attempts = 0
        for replica in REPLICAS:
            addresses = [*self._stack.addresses(replica).values()]
            knock = ("python", "-c", _KNOCK.format(port=_PORT), *addresses)
            # From the proxy's network it is open, or knocking would prove nothing.
            if "status 200" not in self._container([_private(replica)], *knock):
                raise ComposeError(f"{replica} answers nobody")
            others = [name for name in SERVICES if name not in {replica, "caddy", "migrate"}]
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
        """Sign in with forged addresses from the proxy's own network; return how often it was let.

        Raises `ComposeError` where the tries are not counted as one client's.
        """
        replica, network = REPLICAS[0], _private(REPLICAS[0])
        forge = _FORGE.format(tries=_TRIES, port=_PORT)
        address = self._stack.addresses(replica)[network]
        said = self._container([network], "python", "-c", forge, address)
        statuses = said.replace("status", "").split()
        let = sum(status != "429" for status in statuses)
        if len(statuses) != _TRIES or let > _LIMIT:
            raise ComposeError(f"tries with forged addresses: {' '.join(statuses)}")
        return let

    def database(self) -> int:
        """Try what role app must not do; return how many things that was. Raises `ComposeError`."""
        for database, statement, refusal in _DATABASE_ATTEMPTS:
            said = self._stack.execute("postgres", "sh", "-c", _AS_APP, "sh", database, statement)
            if refusal not in said:
                raise ComposeError(f"app in {database}: {statement}: {said.strip()[:200]}")
        return len(_DATABASE_ATTEMPTS)

    def _container(self, networks: Iterable[str], *command: str) -> str:
        """Run a command in a container of its own that is in these networks."""
        joined = (f"--network={network}" for network in networks)
        return self._engine.run("run", "--rm", *joined, "--cap-drop=ALL", IMAGES[0], *command)


def _private(replica: str) -> str:
    """Return the network that a replica shares with the proxy alone."""
    return f"{PROJECT}_proxy-{replica.rpartition('-')[2]}"
