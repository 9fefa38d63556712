"""`JwksFetcher`, where a real server cannot be made to fail at the right moment."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from better_auth_keys.key_sets.fetch import (
    FetchError,
    FetchLimits,
    JwksFetcher,
    tls_context,
    tls_context_for,
)
from tests.simulators.tls import make_authority


async def test_connection_that_is_gone_as_soon_as_it_is_made_is_a_failed_fetch() -> None:
    def gone(_: httpx.Request) -> httpx.Response:
        raise AttributeError("'NoneType' object has no attribute 'getpeername'")  # anyio 4.16

    fetcher = JwksFetcher(
        "http://localhost:3000/jwks",
        algorithms="EdDSA",
        plain_http_hosts=(),
        ca_file=None,
        limits=FetchLimits(),
        transport=httpx.MockTransport(gone),
    )
    with pytest.raises(FetchError, match="AttributeError"):
        await fetcher.fetch(has_keys=False)
    await fetcher.close()


def test_clients_share_a_tls_context_only_if_they_trust_the_same_authorities(
    tmp_path: Path,
) -> None:
    own = str(make_authority(tmp_path).file)
    assert tls_context(None) is tls_context(None)
    assert tls_context(own) is tls_context(own)
    assert len(tls_context(own).get_ca_certs()) == len(tls_context(None).get_ca_certs()) + 1
    for context in (tls_context(None), tls_context(own)):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname


def test_client_of_a_plain_url_trusts_no_authority() -> None:
    plain = tls_context_for("http://localhost:3000/jwks", None)
    assert plain.get_ca_certs() == []
    assert plain.verify_mode is ssl.CERT_REQUIRED
    assert tls_context_for("https://app.example.com/jwks", None) is tls_context(None)


async def test_each_fetch_runs_in_the_tracing_and_sends_its_headers() -> None:
    seen: list[str] = []

    @contextmanager
    def tracing() -> Iterator[Mapping[str, str]]:
        try:
            yield {"traceparent": f"trace {len(seen)}", "Accept": "of the tracing"}
        except FetchError as error:
            seen.append(str(error))
            raise

    def refuse(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["traceparent"])
        assert request.headers["Accept"] == "application/json"
        return httpx.Response(500)

    fetcher = JwksFetcher(
        "http://localhost:3000/jwks",
        algorithms="EdDSA",
        plain_http_hosts=(),
        ca_file=None,
        limits=FetchLimits(),
        transport=httpx.MockTransport(refuse),
        tracing=tracing,
    )
    for _ in range(2):
        with pytest.raises(FetchError):
            await fetcher.fetch(has_keys=False)
    assert seen == ["trace 0", "status 500", "trace 2", "status 500"]
    await fetcher.close()
