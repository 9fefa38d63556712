"""Prove that the library tells the tokens of a real Better Auth with its oauth-provider apart.

    python -m scripts.proofs.oauth_provider [--json]

This installs Better Auth 1.7.5 and the plugin beside this file from a lock file, starts them in
memory at the base path /auth, and gets tokens of each kind over HTTP: a session token, OAuth access
tokens, an ID token and an opaque token. Each is passed to verifiers that accept session tokens,
OAuth access tokens, or both. Then it gets OAuth access tokens that are bound to keys of each
algorithm, and passes them with and without DPoP proofs, to the verifier and to a FastAPI app.
Exit codes: 0 every verdict was the expected one, 1 not, 2 usage.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from better_auth_keys import AccessTokenVerifier, DpopVerifier, KeySetUnavailableError
from scripts.devstack.network import free_ports
from scripts.devstack.settings import DEFAULT_HOME
from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, FAILED, fail
from scripts.proofs.oauth_provider.bound_tokens import bound_verdicts, judged
from scripts.proofs.oauth_provider.client import FlowError, OAuthClient
from scripts.setup.checkout import VENV
from scripts.setup.node_runtime import NodeRuntime, find_node
from scripts.setup.steps import SetUp, SetUpError, hash_of

BASE_PATH: Final = "/auth"
RESOURCE: Final = "https://api.example.com"
_HERE: Final = Path(__file__).parent
_START_SECONDS: Final = 30.0

# What each verifier says about each token: `kind`, with the scopes of OAuth tokens, or the reason.
EXPECTED: Final[Mapping[str, Mapping[str, str]]] = {
    "session token": {
        "both": "session",
        "session only": "session",
        "OAuth only, discovered": "wrong_type",
        "single audience": "session",
    },
    "OAuth token": {
        "both": "oauth tasks:read",
        "session only": "wrong_type",
        "OAuth only, discovered": "oauth tasks:read",
        "single audience": "oauth tasks:read",
    },
    "OAuth token with openid": {
        "both": "oauth openid tasks:write",
        "session only": "wrong_type",
        "OAuth only, discovered": "oauth openid tasks:write",
        "single audience": "several_audiences",
    },
    "ID token": {
        "both": "mixed_kind",
        "session only": "wrong_issuer",
        "OAuth only, discovered": "wrong_type",
        "single audience": "mixed_kind",
    },
    "opaque OAuth token": {
        "both": "malformed",
        "session only": "malformed",
        "OAuth only, discovered": "malformed",
        "single audience": "malformed",
    },
}


@dataclass(frozen=True)
class Verdict:
    """What a verifier said about a token or a request, and what was expected."""

    token: str
    verifier: str
    expected: str
    seen: str


def main(argv: Sequence[str] | None = None) -> int:
    """Install, get the tokens, compare the verdicts; return the exit code."""
    parser = Parser("oauth_provider", __doc__)
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    arguments = parser.parse_args(argv)
    try:
        verdicts = asyncio.run(prove(_install()))
    except (SetUpError, FlowError, TimeoutError, KeySetUnavailableError) as error:
        return fail("oauth_provider", str(error) or "Better Auth did not answer in time")
    if arguments.json:
        print(json.dumps([asdict(verdict) for verdict in verdicts]))
    else:
        for one in verdicts:
            mark = "ok   " if one.seen == one.expected else "WRONG"
            print(f"{mark} {one.token:24} {one.verifier:24} {one.seen}")
    wrong = [one for one in verdicts if one.seen != one.expected]
    for one in wrong:
        print(f"{one.token}, {one.verifier}: expected {one.expected}", file=sys.stderr)
    return FAILED if wrong else DONE


async def prove(node: NodeRuntime) -> list[Verdict]:
    """Return the verdicts about all tokens, and about the identities of the user."""
    (port,) = free_ports(1)
    origin = f"http://localhost:{port}"
    verifiers = {
        "both": AccessTokenVerifier.for_better_auth(
            origin,
            base_path=BASE_PATH,
            audience=[origin, RESOURCE],
            oauth=True,
            dpop=DpopVerifier(base_url=RESOURCE),
        ),
        "session only": AccessTokenVerifier.for_better_auth(origin, base_path=BASE_PATH),
        "OAuth only, discovered": AccessTokenVerifier.for_issuer(f"{origin}{BASE_PATH}", RESOURCE),
        "single audience": AccessTokenVerifier.for_better_auth(
            origin,
            base_path=BASE_PATH,
            audience=[origin, RESOURCE],
            oauth=True,
            single_audience=True,
        ),
    }
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_better_auth(node, port))
        client = OAuthClient(f"{origin}{BASE_PATH}", RESOURCE)
        stack.push_async_callback(client.close)
        await client.register()
        tokens = await _tokens(client)
        for verifier in verifiers.values():
            await stack.enter_async_context(verifier)
        verdicts = [
            Verdict(name, label, EXPECTED[name][label], await judged(verifier, tokens[name]))
            for name in EXPECTED
            for label, verifier in verifiers.items()
        ]
        both = verifiers["both"]
        session = await both.verify(tokens["session token"])
        oauth = await both.verify(tokens["OAuth token"])
        same = "the same" if session.identity == oauth.identity else "different"
        verdicts.append(Verdict("identity of the user", "both", "the same", same))
        verdicts += [Verdict(*verdict) for verdict in await bound_verdicts(client, both)]
    return verdicts


async def _tokens(client: OAuthClient) -> Mapping[str, str]:
    openid = await client.user_tokens("openid tasks:write")
    opaque = await client.user_tokens("tasks:read", named=False)
    return {
        "session token": await client.session_token(),
        "OAuth token": (await client.user_tokens("tasks:read"))["access_token"],
        "OAuth token with openid": openid["access_token"],
        "ID token": openid["id_token"],
        "opaque OAuth token": opaque["access_token"],
    }


@asynccontextmanager
async def _better_auth(node: NodeRuntime, port: int) -> AsyncIterator[None]:
    """Run Better Auth until the block ends."""
    server = await asyncio.create_subprocess_exec(
        str(node.node),
        str(_HERE / "server.mjs"),
        str(port),
        BASE_PATH,
        RESOURCE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    lines: list[str] = []

    async def read(until: str | None) -> None:
        assert server.stdout is not None  # noqa: S101 - it is a pipe
        while line := (await server.stdout.readline()).decode(errors="replace").strip():
            lines.append(line)
            if line == until:
                return
        if until is not None:
            raise FlowError(f"Better Auth did not start: {' '.join(lines)[-500:]}")

    try:
        async with asyncio.timeout(_START_SECONDS):
            await read(until="ready")
        reading = asyncio.create_task(read(until=None))
        yield
        reading.cancel()
    finally:
        if server.returncode is None:
            server.terminate()
        await server.wait()


def _install() -> NodeRuntime:
    """Install the packages of `server.mjs`, and return the Node that runs it."""
    node = find_node(VENV)
    if node is None:
        raise SetUpError("there is no Node; run ./scripts/test once, which installs one")
    key = hash_of(*(_HERE / name for name in ("package-lock.json", "package.json", ".npmrc")))
    stamp = _HERE / "node_modules" / ".set-up"
    with SetUp(DEFAULT_HOME) as steps, steps.step("oauth-provider", stamp, key) as due:
        if due:
            options = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            environment = node.environment(os.environ)
            steps.run("oauth-provider", [*node.npm, *options], cwd=_HERE, env=environment)
    return node


if __name__ == "__main__":
    sys.exit(main())
