"""The rows of `check-resource-server`: a strict server passes, and a weak one fails for it."""

from dataclasses import replace

import httpx
import pytest

from better_auth_keys.testing.check.advice import advice_on
from better_auth_keys.testing.check.catalogue import ROWS
from better_auth_keys.testing.check.row import Result, Verdict
from better_auth_keys.testing.check.rows import claims, encodings, proofs, requests, signatures
from better_auth_keys.testing.check.runner import run_rows
from better_auth_keys.testing.check.target import Answer
from tests.keys.testing import servers_with_proofs, weak_servers
from tests.keys.testing.weak_servers import Server, check, stand_of

OF_ONE_TOKEN = [
    row.name for module in (requests, signatures, encodings, claims) for row in module.ROWS
]
WITH_PROOFS = [row.name for row in proofs.ROWS]
OUTAGE = ["outage-known", "outage-unknown", "failing-unknown", "hanging-unknown"]


def named(results: list[Result], verdict: Verdict) -> set[str]:
    return {result.row.name for result in results if result.outcome.verdict is verdict}


def seen(results: list[Result], name: str) -> str:
    return next(result.outcome.seen for result in results if result.row.name == name)


async def test_strict_server_passes_every_row_that_applies() -> None:
    # The strict server of these tests fetches more often than once a second, to be prompt.
    results = await check(Server, [row.name for row in ROWS if row.name != "flood"])
    assert named(results, Verdict.FAIL) == set(), [
        (result.row.name, result.outcome.seen) for result in results
    ]
    without = {"challenge-scope", "alg-per-key", "rfc9068", *WITH_PROOFS}
    assert named(results, Verdict.NOT_APPLICABLE) == without


async def test_strict_server_for_oauth_tokens_and_rsa_passes_the_rows_of_one_token() -> None:
    rows = [row for row in ROWS if row.name in {"good-token", *OF_ONE_TOKEN}]
    async with stand_of(weak_servers.TakesOAuthTokensOfRsa, ("RS256",), "oauth") as stand:
        results = await run_rows(stand, rows)
    assert named(results, Verdict.FAIL) == set()
    assert named(results, Verdict.NOT_APPLICABLE) == {"challenge-scope", "mixed-kind"}


async def test_server_for_session_tokens_accepts_no_oauth_tokens() -> None:
    async with stand_of(Server, ("RS256",), "oauth") as stand:
        results = await run_rows(stand, [row for row in ROWS if row.name == "good-token"])
    assert seen(results, "good-token") == "401"


@pytest.mark.parametrize(
    ("server", "names", "failures"),
    [
        (weak_servers.TakesAlgNone, OF_ONE_TOKEN, {"alg-none"}),
        (weak_servers.IgnoresAudience, OF_ONE_TOKEN, {"audience", "challenge-invalid"}),
        (weak_servers.IgnoresTime, OF_ONE_TOKEN, {"expired", "issued-at", "not-before"}),
        (weak_servers.ReadsCookies, OF_ONE_TOKEN, {"cookie"}),
        (weak_servers.TakesTheFirstOfTwoHeaders, OF_ONE_TOKEN, {"two-headers"}),
        (weak_servers.WantsTheSchemeAsWritten, OF_ONE_TOKEN, {"scheme-case"}),
        (
            weak_servers.SendsNoChallenge,
            OF_ONE_TOKEN,
            {"challenge-missing", "challenge-invalid"},
        ),
        (weak_servers.NamesTheErrorAlways, OF_ONE_TOKEN, {"challenge-missing"}),
        (
            weak_servers.Answers401InAnOutage,
            OUTAGE,
            {"outage-unknown", "failing-unknown", "hanging-unknown"},
        ),
        (
            weak_servers.NamesNoRetryAfter,
            OUTAGE,
            {"outage-unknown", "failing-unknown", "hanging-unknown"},
        ),
        (weak_servers.KeepsRemovedKeys, ["new-key", "removed-key"], {"removed-key"}),
        (weak_servers.NeverFetchesAgain, ["new-key", "removed-key"], {"new-key"}),
        (
            weak_servers.TakesAnySetAtOnce,
            ["new-key", "malformed-set", "redirect", "flood"],
            {"malformed-set", "redirect", "flood"},
        ),
        (weak_servers.RefusesAllAfterABadToken, ["audience"], {"audience"}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
async def test_weak_server_fails_the_rows_of_its_weakness(
    server: type[Server], names: list[str], failures: set[str]
) -> None:
    assert named(await check(server, names), Verdict.FAIL) == failures


@pytest.mark.parametrize(
    "server", [servers_with_proofs.TakesProofs, servers_with_proofs.WantsNonces]
)
async def test_strict_server_passes_the_rows_about_proofs(server: type[Server]) -> None:
    results = await check(server, [*OF_ONE_TOKEN, *WITH_PROOFS], proof_url=weak_servers.URL)
    assert named(results, Verdict.FAIL) == set(), [
        (result.row.name, result.outcome.seen) for result in results
    ]
    assert not named(results, Verdict.NOT_APPLICABLE) & {*WITH_PROOFS}


@pytest.mark.parametrize(
    ("server", "failures"),
    [
        (servers_with_proofs.ForgetsProofs, {"dpop-replay"}),
        (servers_with_proofs.TakesOldProofs, {"dpop-time"}),
        (servers_with_proofs.IgnoresTheRequest, {"dpop-request", "dpop-challenge"}),
        (servers_with_proofs.IgnoresTheToken, {"dpop-token"}),
        (servers_with_proofs.IgnoresTheKey, {"dpop-key"}),
        (servers_with_proofs.TakesTheFirstProof, {"dpop-form"}),
        (servers_with_proofs.TakesBoundTokensAsBearer, {"dpop-scheme", "key-bound"}),
        (servers_with_proofs.NamesNoAlgorithms, {"dpop-challenge"}),
        (Server, {*WITH_PROOFS}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
async def test_weak_server_fails_the_rows_about_proofs(
    server: type[Server], failures: set[str]
) -> None:
    names = ["key-bound", *WITH_PROOFS]
    assert named(await check(server, names, proof_url=weak_servers.URL), Verdict.FAIL) == failures


async def test_row_names_the_case_that_was_accepted() -> None:
    results = await check(weak_servers.TakesAlgNone, ["alg-none"])
    assert seen(results, "alg-none") == "alg none: 200"


async def test_without_a_good_token_no_other_row_is_run() -> None:
    async with stand_of(Server) as stand:
        stand.options = type(stand.options)("https://other.example.com", "x")
        results = await run_rows(stand, ROWS)
        assert stand.target.requests == 1
    assert named(results, Verdict.FAIL) == {row.name for row in ROWS}
    assert seen(results, "flood") == "not run: the server accepts no good token"


async def test_rows_that_are_not_run_for_want_of_a_good_token_are_not_reported() -> None:
    reported: list[Result] = []
    async with stand_of(Server) as stand:
        stand.options = type(stand.options)("https://other.example.com", "x")
        results = await run_rows(stand, ROWS, reported.append)
    assert [result.row.name for result in reported] == ["good-token"]
    assert len(results) == len(ROWS)


async def test_advice_on_a_401_names_issuer_audience_and_scope() -> None:
    async with stand_of(Server) as stand:
        stand.options = replace(stand.options, audience="https://b.example.com", scope="read")
        [result] = await run_rows(stand, ROWS[:1])
        origin = stand.issuer.origin
    advice = result.outcome.advice or ""
    assert advice.startswith(f"{weak_servers.URL} answered a good token with 401. ")
    assert (
        f"Does it trust the issuer {origin}, with the audience https://b.example.com "
        "and the scope 'read'?"
    ) in advice


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (Answer(403, httpx.Headers()), "The token has no scope: pass --scope"),
        (Answer(503, httpx.Headers()), "It did not fetch the keys of http://127.0.0.1:"),
        (Answer(404, httpx.Headers()), "or pass --accepted 404"),
        (Answer(0, httpx.Headers(), error="ConnectError"), "nothing may listen there. Start"),
        (Answer(0, httpx.Headers(), error="ReadTimeout"), "did not answer within 10 s"),
        (Answer(0, httpx.Headers(), error="RemoteProtocolError"), "(RemoteProtocolError)"),
    ],
    ids=["403", "503", "404", "not connected", "late", "not HTTP"],
)
async def test_advice_follows_from_the_answer(answer: Answer, advice: str) -> None:
    async with stand_of(Server) as stand:
        assert advice in advice_on(answer, stand)


async def test_rows_beyond_the_limit_of_requests_are_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("better_auth_keys.testing.check.target.MAX_REQUESTS", 3)
    results = await check(Server, ["alg-none", "scheme-case"])
    assert [str(result.outcome.verdict) for result in results] == ["pass", "pass", "fail"]
    assert seen(results, "alg-none").startswith("not run: the limit of ")


def test_rows_have_distinct_names() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
