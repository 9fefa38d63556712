"""`JwksFetcher`, where a real server cannot be made to fail at the right moment."""

import httpx
import pytest

from better_auth_keys.key_sets.fetch import FetchError, FetchLimits, JwksFetcher


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
