"""Rows about how the token is sent, and what the answer says."""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import urljoin, urlsplit

from better_auth_keys.testing.check.advice import advice_on
from better_auth_keys.testing.check.forged import compact
from better_auth_keys.testing.check.row import Outcome, Row, Verdict, not_applicable
from better_auth_keys.testing.check.stand import Stand
from better_auth_keys.testing.check.target import Answer

_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_REFUSED: Final = frozenset({400, 401})
_PARAMETER: Final = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')

# A scheme has a parameter after it, and a parameter has none.
_NEXT_CHALLENGE: Final = re.compile(r",\s*(?=[A-Za-z]+ +[\w-]+\s*=)")


def challenge_of(answer: Answer, scheme: str = "Bearer") -> dict[str, str] | None:
    """Return the parameters of the challenge for a scheme (RFC 6750 section 3), or None."""
    text = ", ".join(answer.headers.get_list("www-authenticate"))
    found = re.search(rf"(?:^|,\s*){scheme}\b(.*)", text, re.IGNORECASE | re.DOTALL)
    if found is None:
        return None
    parameters = _NEXT_CHALLENGE.split(found[1])[0]
    return {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(parameters)}


def _authorization(*values: str) -> list[tuple[str, str]]:
    return [("Authorization", value) for value in values]


async def _accepted(stand: Stand) -> Outcome:
    answer = await stand.ask_patiently(stand.token())
    if answer.status == stand.options.accepted:
        return Outcome(Verdict.PASS, str(answer))
    return Outcome(Verdict.FAIL, str(answer), advice_on(answer, stand))


async def _unknown_header(stand: Stand) -> Outcome:
    header = stand.header(x="private", cty="JWT")
    answer = await stand.ask(compact(stand.signer, header, stand.claims()))
    return Outcome.of(answer.status == stand.options.accepted, str(answer))


async def _scheme_case(stand: Stand) -> Outcome:
    token = stand.token()
    answers = [await stand.target.get(_authorization(f"{name} {token}")) for name in _SCHEMES]
    good = all(answer.status == stand.options.accepted for answer in answers)
    seen = ", ".join(f"{name}: {each}" for name, each in zip(_SCHEMES, answers, strict=True))
    return Outcome.of(good, seen)


async def _other_scheme(stand: Stand) -> Outcome:
    token = stand.token()
    values = {"Basic": f"Basic {token}", "none": token, "Bearer without a space": f"Bearer{token}"}
    seen = {name: await stand.target.get(_authorization(value)) for name, value in values.items()}
    wrong = [f"{name}: {each}" for name, each in seen.items() if each.status not in _REFUSED]
    return Outcome.of(not wrong, "; ".join(wrong) or "3 of 3 refused")


def _sent(
    statuses: frozenset[int], send: Callable[[Stand, str], Awaitable[Answer]]
) -> Callable[[Stand], Awaitable[Outcome]]:
    async def check(stand: Stand) -> Outcome:
        answer = await send(stand, stand.token())
        return Outcome.of(answer.status in statuses, str(answer))

    return check


async def _in_the_query(stand: Stand, token: str) -> Answer:
    return await stand.target.get(query=f"access_token={token}")


async def _in_header_and_query(stand: Stand, token: str) -> Answer:
    return await stand.target.get(_authorization(f"Bearer {token}"), query=f"access_token={token}")


async def _in_a_cookie(stand: Stand, token: str) -> Answer:
    names = ("access_token", "token", "better-auth.session_token")
    return await stand.target.get([("Cookie", "; ".join(f"{name}={token}" for name in names))])


async def _in_two_headers(stand: Stand, token: str) -> Answer:
    return await stand.target.get(_authorization(f"Bearer {token}", f"Bearer {token}"))


async def _missing(stand: Stand) -> Outcome:
    answer = await stand.target.get()
    challenge = challenge_of(answer)
    if answer.status != _UNAUTHORIZED or challenge is None:
        return Outcome.of(good=False, seen=f"{answer}, {_shown(challenge)}")
    return Outcome.of("error" not in challenge, f"{answer}, {_shown(challenge)}")


async def _invalid(stand: Stand) -> Outcome:
    answer = await stand.ask(stand.token(aud="https://evil.example.com"))
    challenge = challenge_of(answer)
    good = answer.status == _UNAUTHORIZED and (challenge or {}).get("error") == "invalid_token"
    return Outcome.of(good, f"{answer}, {_shown(challenge)}")


async def _insufficient(stand: Stand) -> Outcome:
    if stand.options.scope is None:
        return not_applicable("only with --scope")
    answer = await stand.ask(stand.token(scope="nothing:at-all"))
    challenge = challenge_of(answer) or {}
    good = answer.status == _FORBIDDEN and challenge.get("error") == "insufficient_scope"
    return Outcome.of(good and "scope" in challenge, f"{answer}, {_shown(challenge)}")


async def _no_echo(stand: Stand) -> Outcome:
    token = stand.token(aud="https://evil.example.com")
    answer = await stand.ask(token)
    signature = token.rpartition(".")[2]
    text = answer.body + str(answer.headers).encode()
    return Outcome.of(signature.encode() not in text, str(answer))


async def _metadata(stand: Stand) -> Outcome:
    url = (challenge_of(await stand.target.get()) or {}).get("resource_metadata")
    if not url:
        return not_applicable("the challenge names no metadata")
    # Through the address that the check uses: the server may know itself by another name.
    path = urlsplit(url).path
    answer = await stand.target.get(url=urljoin(stand.target.url, path))
    try:
        document = json.loads(answer.body)
    except ValueError:
        return Outcome.of(good=False, seen=f"{answer}, not JSON")
    good = isinstance(document, dict) and isinstance(document.get("resource"), str)
    return Outcome.of(good and answer.status == 200, f"{answer}, {sorted(document)}")  # noqa: PLR2004 - an HTTP status


def _shown(challenge: dict[str, str] | None) -> str:
    if challenge is None:
        return "no Bearer challenge"
    error = challenge.get("error")
    return f"challenge with error {error}" if error else "challenge without an error"


_SCHEMES: Final[Sequence[str]] = ("bearer", "BEARER")

GOOD_TOKEN: Final = Row("good-token", "RFC 6750", "a good token is accepted", _accepted)
ROWS: Final = (
    Row("unknown-header", "19", "accepted: private header members", _unknown_header),
    Row("scheme-case", "RFC 9110", "accepted: the scheme in any casing", _scheme_case),
    Row("other-scheme", "RFC 6750", "400 or 401 for other schemes", _other_scheme),
    Row("query", "33", "400 or 401 for a token in the query", _sent(_REFUSED, _in_the_query)),
    Row(
        "header-and-query",
        "33",
        "400 for a token in both",
        _sent(frozenset({400}), _in_header_and_query),
    ),
    Row("cookie", "33", "400 or 401 for a token in a cookie", _sent(_REFUSED, _in_a_cookie)),
    Row(
        "two-headers",
        "33",
        "400 or 401 for two Authorization headers",
        _sent(_REFUSED, _in_two_headers),
    ),
    Row("challenge-missing", "34", "401 with a challenge that names no error", _missing),
    Row("challenge-invalid", "35", '401 with error="invalid_token"', _invalid),
    Row(
        "challenge-scope", "31, 35", '403 with error="insufficient_scope" and scope', _insufficient
    ),
    Row("no-echo", "45", "the answer does not repeat the token", _no_echo),
    Row("metadata", "36", "the metadata that the challenge names is served", _metadata),
)
