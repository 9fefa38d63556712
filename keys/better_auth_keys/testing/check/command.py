"""Check a resource server from outside: play its issuer, and send it tokens good and bad.

    check-resource-server http://127.0.0.1:8000/me --issuer-port 8400 --algorithms EdDSA,RS256

Start your server first, with http://127.0.0.1:8400 as the URL of Better Auth; its keys are served
at /api/auth/jwks there, while this command runs. The URL must be of an operation that requires a
token, and that GET does not change. Each row of the check is a line: what was expected, and what
was seen. If the server accepts no good token, a line says what may be wrong, and the other rows are
not run. --algorithms are those that your server accepts; EdDSA,RS256 is the default of
better-auth-keys. Others must be refused.

The server is only sent GET requests: at most 400, for at most 180 s. The issuer listens on the
loopback interface only, so the server must run on this machine.
Exit codes: 0 every row that applies was passed, 1 at least one was not, 2 usage, 141 the reader of
the output closed it.
"""

import argparse
import asyncio
import json
import os
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx

from better_auth_keys import ALGORITHMS, Signer
from better_auth_keys.testing.check.catalogue import ROWS
from better_auth_keys.testing.check.played import PlayedIssuer
from better_auth_keys.testing.check.report import Score, as_json, as_junit, line_of
from better_auth_keys.testing.check.row import Result
from better_auth_keys.testing.check.runner import run_rows
from better_auth_keys.testing.check.stand import Options, Stand
from better_auth_keys.testing.check.target import REQUEST_SECONDS, Target

_SIGPIPE_EXIT: Final = 128 + 13
"""What a shell reports of a program that SIGPIPE ended."""


def run() -> None:
    """Run the command, and end the process with its exit code.

    It ends quietly if the reader of its output, such as `head`, has closed it.
    """
    try:
        code = main()
    except BrokenPipeError:
        # Python flushes stdout once more when it ends, and would report this error there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = _SIGPIPE_EXIT
    sys.exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = _parser()
    options = parser.parse_args(argv)
    algorithms = tuple(options.algorithms.split(","))
    unknown = [name for name in algorithms if name not in ALGORITHMS]
    if unknown:
        parser.error(f"unknown algorithm {unknown[0]!r}; known: {', '.join(ALGORITHMS)}")
    try:
        results = asyncio.run(_check(options, algorithms))
    except BrokenPipeError:
        raise  # the output was closed, and the port is fine
    except OSError as error:
        parser.error(f"cannot listen on port {options.issuer_port}: {error.strerror}")
    for advice in (result.outcome.advice for result in results if result.outcome.advice):
        print(f"check-resource-server: {advice}", file=sys.stderr)  # noqa: T201 - not a result
    score = Score.of(results)
    print(score, flush=True)  # noqa: T201 - the result
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(options.url, results), indent=2) + "\n")
    if options.junit is not None:
        options.junit.write_bytes(as_junit(options.url, results))
    return 0 if score.perfect else 1


async def _check(options: argparse.Namespace, algorithms: tuple[str, ...]) -> list[Result]:
    issuer = PlayedIssuer(Signer.generate(algorithms[0]))
    tls = None
    if options.certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.certificate)
    await issuer.start(options.issuer_port, tls)
    own = issuer.oauth_issuer if options.tokens == "oauth" else issuer.origin
    issuer.name = options.issuer or own
    try:
        # Servers close idle connections, usually after five seconds: none is used again by then.
        limits = httpx.Limits(keepalive_expiry=1)
        async with httpx.AsyncClient(
            timeout=REQUEST_SECONDS, trust_env=False, limits=limits
        ) as client:
            names = Options(
                issuer=issuer.name,
                audience=options.audience or options.issuer or issuer.origin,
                algorithms=algorithms,
                kind=options.tokens,
                scope=options.scope,
                accepted=options.accepted,
                proof_url=options.dpop,
            )
            stand = Stand(Target(options.url, client), issuer, names)
            return await run_rows(stand, ROWS, lambda result: print(line_of(result), flush=True))  # noqa: T201 - the result
    finally:
        await issuer.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "check-resource-server",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", help="an operation of the server that requires a token")
    parser.add_argument("--issuer-port", type=int, required=True, metavar="PORT")
    parser.add_argument(
        "--issuer", metavar="NAME", help="`iss` of the tokens; default: that of Better Auth"
    )
    parser.add_argument(
        "--audience", metavar="NAME", help="`aud` of the tokens; default: the issuer"
    )
    parser.add_argument(
        "--algorithms",
        default="EdDSA",
        metavar="NAMES",
        help="all that the server accepts, comma-separated; the first one signs; default: EdDSA",
    )
    parser.add_argument(
        "--tokens",
        choices=("session", "oauth"),
        default="session",
        help="tokens of the jwt plugin, or of the oauth-provider plugin; default: session",
    )
    parser.add_argument("--scope", help="what the operation requires, if it requires a scope")
    parser.add_argument(
        "--accepted",
        type=int,
        default=200,
        metavar="STATUS",
        help="the status of the answer to a good token; default: 200",
    )
    parser.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="serve the keys over https, with this key and certificate (PEM)",
    )
    parser.add_argument(
        "--dpop",
        metavar="URL",
        help="the URL of the operation in DPoP proofs, if the server accepts them",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write them as JUnit's XML")
    return parser
