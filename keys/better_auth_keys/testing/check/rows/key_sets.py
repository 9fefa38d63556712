"""Rows about rotation, and about answers of the issuer that a server must not trust.

They change what the issuer publishes. A key that the server does not accept is withdrawn, so that
the next rows are about their own subjects.
"""

import asyncio
import time
from typing import Final

from better_auth_keys import ALGORITHMS, Signer
from better_auth_keys.testing import Reply
from better_auth_keys.testing.check.row import Outcome, Row, not_applicable
from better_auth_keys.testing.check.rows.mixed_set import BROKEN, unusable_keys
from better_auth_keys.testing.check.rows.refused import all_refused
from better_auth_keys.testing.check.stand import Stand
from better_auth_keys.testing.issuer import jwks_of

_ELSEWHERE: Final = "/elsewhere/jwks"
_UNDECIDED: Final = frozenset({401, 503})
_FLOOD: Final = 20
_NOT_FETCHED: Final = "the server did not fetch the keys again within a few seconds"
_MALFORMED: Final = {
    "an empty set": Reply(body=b'{"keys": []}'),
    "a page": Reply(body=b"<!doctype html>"),
    "status 500": Reply(500, b"{}"),
    "no keys": Reply(body=b'{"keys": null}'),
}


async def _new_key(stand: Stand) -> Outcome:
    answer = await stand.rotate()
    seen = str(answer)
    if answer.status != stand.options.accepted:
        # The server has only just fetched the keys. It is asked again when that is long ago.
        await asyncio.sleep(stand.cool_down)
        answer = await stand.rotate()
        seen = f"{answer}, {stand.cool_down:.0f} s after the last fetch"
    return Outcome.of(answer.status == stand.options.accepted, seen)


async def _new_key_soon(stand: Stand) -> Outcome:
    await stand.ask(stand.token(Signer.generate()))
    answer = await stand.rotate()
    return Outcome.of(answer.status in {stand.options.accepted, 503}, str(answer))


async def _removed_key(stand: Stand) -> Outcome:
    old = stand.signer
    token = stand.token()
    if (await stand.rotate()).status != stand.options.accepted:
        return not_applicable(_NOT_FETCHED)
    stand.issuer.publish(stand.signer)
    if not await stand.provoke_fetch():
        return not_applicable(_NOT_FETCHED)
    return await all_refused(stand, {"a token from before": token, "a new one": stand.token(old)})


async def _mixed_set(stand: Stand) -> Outcome:
    fetches = stand.issuer.fetches
    keys, _ = unusable_keys(stand)
    answer = await stand.rotate([*BROKEN, *keys])
    if stand.issuer.fetches == fetches:
        return not_applicable(_NOT_FETCHED)
    return Outcome.of(answer.status == stand.options.accepted, str(answer))


async def _unusable_keys(stand: Stand) -> Outcome:
    keys, tokens = unusable_keys(stand)
    if (await stand.rotate(keys)).status != stand.options.accepted:
        return not_applicable("the server does not use a set that has such keys")
    return await all_refused(stand, tokens)


async def _other_algorithms(stand: Stand) -> Outcome:
    others = [name for name in ALGORITHMS if name not in stand.options.algorithms]
    if not others:
        return not_applicable("the server accepts all algorithms of the check")
    signers = [Signer.generate(name) for name in others]
    if (await stand.rotate([each.public_jwk() for each in signers])).status != (
        stand.options.accepted
    ):
        return not_applicable("the server does not use a set that has such keys")
    return await all_refused(stand, {each.algorithm: stand.token(each) for each in signers})


async def _malformed_sets(stand: Stand) -> Outcome:
    wrong = []
    try:
        for name, reply in _MALFORMED.items():
            stand.issuer.reply = reply
            if not await stand.provoke_fetch():
                return not_applicable(_NOT_FETCHED)
            answer = await stand.ask(stand.token())
            if answer.status != stand.options.accepted:
                wrong.append(f"after {name}: {answer}")
    finally:
        stand.issuer.up()
    return Outcome.of(not wrong, "; ".join(wrong) or "known keys stay in use")


async def _redirect(stand: Stand) -> Outcome:
    attacker = Signer.generate(stand.options.algorithms[0])
    stand.issuer.elsewhere[_ELSEWHERE] = Reply(body=jwks_of([attacker]))
    stand.issuer.reply = Reply(302, headers={"Location": _ELSEWHERE})
    before = stand.issuer.fetches
    try:
        answer = await stand.ask(stand.token(attacker))
        if stand.issuer.fetches == before:
            await stand.provoke_fetch()
            answer = await stand.ask(stand.token(attacker))
    finally:
        stand.issuer.up()
    if stand.issuer.fetches == before:
        return not_applicable(_NOT_FETCHED)
    followed = any(request.path == _ELSEWHERE for request in stand.issuer.requests)
    seen = f"{answer}, redirect {'followed' if followed else 'not followed'}"
    return Outcome.of(not followed and answer.status in _UNDECIDED, seen)


async def _flood(stand: Stand) -> Outcome:
    before, began = stand.issuer.fetches, time.monotonic()
    tokens = [stand.token(Signer.generate()) for _ in range(_FLOOD)]
    answers = await asyncio.gather(*map(stand.ask, tokens))
    fetches = stand.issuer.fetches - before
    most = 2 + int(time.monotonic() - began)
    wrong = {str(answer) for answer in answers if answer.status not in _UNDECIDED}
    seen = f"{fetches} fetches, at most {most} expected"
    return Outcome.of(fetches <= most and not wrong, f"{seen}; {', '.join(wrong)}".rstrip("; "))


NEW_KEY: Final = Row("new-key", "40", "a new key is accepted with its first token", _new_key)
ROWS: Final = (
    Row(
        "new-key-soon",
        "40",
        "accepted or 503: a new key just after an unknown one",
        _new_key_soon,
    ),
    Row("removed-key", "41", "401 for a removed key, once the set was fetched", _removed_key),
    Row("mixed-set", "48", "accepted: a good key among keys that are not", _mixed_set),
    Row("unusable-keys", "3, 7, 8", "401 for keys that are not for signatures", _unusable_keys),
    Row("algorithm-list", "1", "401 for other algorithms than --algorithms", _other_algorithms),
    Row("malformed-set", "43", "a malformed set never replaces a good one", _malformed_sets),
    Row("redirect", "37", "a redirect to other keys is not followed", _redirect),
    Row("flood", "39, 40", "20 unknown kids at once: one fetch a second", _flood),
)
