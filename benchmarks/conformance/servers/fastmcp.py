"""FastMCP's `JWTVerifier` in front of a route of an MCP server, as its documentation has it."""

from typing import Final

from fastmcp import FastMCP  # type: ignore[import-not-found] # installed for the comparison alone
from fastmcp.server.auth.providers.jwt import (  # type: ignore[import-not-found] # likewise
    JWTVerifier,
)

from benchmarks.conformance.servers.settings import ISSUER, JWKS_URL

verifier: Final = JWTVerifier(jwks_uri=JWKS_URL, issuer=ISSUER, audience=ISSUER, algorithm="EdDSA")
app = FastMCP("A protected server", auth=verifier).http_app()
