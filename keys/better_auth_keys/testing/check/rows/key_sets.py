"""Rows about rotation, and about answers of the issuer that a server must not trust.

They change what the issuer publishes, in this order. The keys stay as the last row left them.
"""

import asyncio
import time
from typing import Final

from better_auth_keys import ALGORITHMS, Signer
from better_auth_keys.testing import Reply
from better_auth_keys.testing.check.row import Outcome, Row, not_applicable
from better_auth_keys.testing.check.rows.mixed_set import MixedSet
from better_auth_keys.testing.check.rows.refused import all_refused
from better_auth_keys.testing.check.stand import Stand
from better_auth_keys.testing.issuer import jwks_of

_ELSEWHERE: Final = "/elsewhere/jwks"
_UNDECIDED: Final = frozenset({401, 503})
_FLOOD: Final = 20
_MALFORMED: Final = {
    "an empty set": Reply(body=b'{"keys": []}'),
    "a page": Reply(body=b"<!doctype html>"),
    "status 500": Reply(500, b"{}"),
    "no keys": Reply(body=b'{"keys": null}'),
}


async def _new_key(stand: Stand) -> Outcome:
    stand.issuer.rotate(stand.options.algorithms[0])
    answer = await stand.ask_patiently(stand.token())
    return Outcome.of(answer.status == stand.options.accepted, str(answer))


async def _removed_key(stand: Stand) -> Outcome:
    old, before = stand.issuer.signer, stand.issuer.fetches
    token = stand.token()
    stand.issuer.rotate(stand.options.algorithms[0], keep_old=False)
    await stand.ask_patiently(stand.token())
    if stand.issuer.fetches == before and not await stand.provoke_fetch():
        return Outcome.of(good=False, seen="the server did not fetch the new set")
    return await all_refused(stand, {"a token from before": token, "a new one": stand.token(old)})


async def _mixed_set(stand: Stand) -> Outcome:
    mixed = MixedSet.after_rotation(stand)
    stand.issuer.reply = Reply(body=mixed.document)
    answer = await stand.ask_patiently(stand.token())
    return Outcome.of(answer.status == stand.options.accepted, str(answer))


async def _unusable_keys(stand: Stand) -> Outcome:
    mixed = MixedSet.after_rotation(stand)
    stand.issuer.reply = Reply(body=mixed.document)
    try:
        if (await stand.ask_patiently(stand.token())).status != stand.options.accepted:
            return not_applicable("the server cannot use a set that has such keys")
        return await all_refused(stand, mixed.tokens)
    finally:
        stand.issuer.up()


async def _other_algorithms(stand: Stand) -> Outcome:
    others = [name for name in ALGORITHMS if name not in stand.options.algorithms]
    if not others:
        return not_applicable("the server accepts all algorithms of the check")
    stand.issuer.rotate(stand.options.algorithms[0])
    signers = [Signer.generate(name) for name in others]
    stand.issuer.reply = Reply(body=jwks_of([*stand.issuer.signers, *signers]))
    try:
        if (await stand.ask_patiently(stand.token())).status != stand.options.accepted:
            return not_applicable("the server did not use the set that has such keys")
        return await all_refused(stand, {each.algorithm: stand.token(each) for each in signers})
    finally:
        stand.issuer.up()


async def _malformed_sets(stand: Stand) -> Outcome:
    await stand.ask_patiently(stand.token())
    wrong = []
    try:
        for name, reply in _MALFORMED.items():
            stand.issuer.reply = reply
            if not await stand.provoke_fetch():
                return not_applicable(f"the server did not fetch {name}")
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
        return not_applicable("the server did not fetch the redirect")
    followed = any(request.path == _ELSEWHERE for request in stand.issuer.requests)
    seen = f"{answer}, redirect {'followed' if followed else 'not followed'}"
    return Outcome.of(not followed and answer.status in _UNDECIDED, seen)


async def _flood(stand: Stand) -> Outcome:
    await stand.ask_patiently(stand.token())
    before, began = stand.issuer.fetches, time.monotonic()
    tokens = [stand.token(Signer.generate()) for _ in range(_FLOOD)]
    answers = await asyncio.gather(*map(stand.ask, tokens))
    fetches = stand.issuer.fetches - before
    most = 2 + int(time.monotonic() - began)
    wrong = {str(answer) for answer in answers if answer.status not in _UNDECIDED}
    seen = f"{fetches} fetches, at most {most} expected"
    return Outcome.of(fetches <= most and not wrong, f"{seen}; {', '.join(wrong)}".rstrip("; "))


ROWS: Final = (
    Row("new-key", "40", "a new key is accepted at once", _new_key),
    Row("removed-key", "41", "401 for a removed key, once the set was fetched", _removed_key),
    Row("mixed-set", "48", "accepted: a good key among keys that are not", _mixed_set),
    Row("unusable-keys", "3, 7, 8", "401 for keys that are not for signatures", _unusable_keys),
    Row("algorithm-list", "1", "401 for other algorithms than --algorithms", _other_algorithms),
    Row("malformed-set", "43", "a malformed set never replaces a good one", _malformed_sets),
    Row("redirect", "37", "a redirect to other keys is not followed", _redirect),
    Row("flood", "39, 40", "20 unknown kids at once: one fetch a second", _flood),
)
