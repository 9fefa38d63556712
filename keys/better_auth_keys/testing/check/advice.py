"""Why a server may have refused a good token, and what to do about it."""

from http import HTTPStatus
from typing import Final

from better_auth_keys.testing.check.stand import Stand
from better_auth_keys.testing.check.target import REQUEST_SECONDS, Answer

_NOT_CONNECTED: Final = ("ConnectError", "ConnectTimeout")
_LATE: Final = ("ReadTimeout", "TimeoutError")


def advice_on(answer: Answer, stand: Stand) -> str:
    """Return one line about an answer that is not the one to a good token."""
    return _on_the_status(answer.status, stand) if answer.status else _on_no_answer(answer, stand)


def _on_no_answer(answer: Answer, stand: Stand) -> str:
    url = stand.target.url
    if answer.error in _NOT_CONNECTED:
        return (
            f"could not connect to {url}: nothing may listen there. Start the server, with "
            f"{stand.issuer.origin} as the URL of Better Auth, or correct the URL of the operation."
        )
    if answer.error in _LATE:
        return (
            f"{url} did not answer within {REQUEST_SECONDS:.0f} s. It may wait for a database or "
            "another service: see its log, or name another operation."
        )
    return (
        f"{url} gave no answer ({answer.error}). Check the scheme and the port of the URL, and see "
        "the server's log."
    )


def _on_the_status(status: int, stand: Stand) -> str:
    options, origin = stand.options, stand.issuer.origin
    happened = f"{stand.target.url} answered a good token with {status}"
    fetched = "It fetched the keys" if stand.issuer.fetches else "It did not fetch the keys"
    if status == HTTPStatus.UNAUTHORIZED:
        return (
            f"{happened}. {fetched} of {origin}. Does it trust the issuer {options.issuer}, with "
            f"the audience {options.audience} and {_scope_of(options.scope)}? Start it with "
            f"{origin} as the URL of Better Auth, or pass --issuer, --audience, --scope, --tokens "
            "and --algorithms as it is configured. Its log may name the reason."
        )
    if status == HTTPStatus.FORBIDDEN:
        return (
            f"{happened}. The token has {_scope_of(options.scope)}: pass --scope with what the "
            "operation requires, or name an operation that requires no role."
        )
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return (
            f"{happened}. {fetched} of {origin}. Start it with {origin} as the URL of Better Auth; "
            "if it is, another service may be missing: see its log."
        )
    return (
        f"{happened}, and not with {options.accepted}. Name an operation that GET reads, or pass "
        f"--accepted {status} if this is its answer to a good request."
    )


def _scope_of(scope: str | None) -> str:
    return "no scope" if scope is None else f"the scope {scope!r}"
