"""Rows about algorithms, signatures and keys that a token brings along."""

import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from better_auth_keys import Signer
from better_auth_keys.testing import Reply
from better_auth_keys.testing.check.forged import b64, compact, public_pem, segment
from better_auth_keys.testing.check.row import Outcome, Row
from better_auth_keys.testing.check.rows.refused import MALFORMED, all_refused, refused
from better_auth_keys.testing.check.stand import Stand
from better_auth_keys.testing.issuer import jwks_of

_TRAP: Final = "/attacker/jwks"


def _unsigned(stand: Stand) -> Mapping[str, str]:
    payload = segment(stand.claims())
    return {
        f"alg {name}": f"{segment(stand.header(alg=name))}.{payload}."
        for name in ("none", "None", "NONE", "nOnE", "")
    }


def _with_the_public_key(stand: Stand) -> Mapping[str, str]:
    signer = stand.signer
    jwk = signer.public_jwk()
    secrets = {
        "JWK": json.dumps(jwk).encode(),
        "PEM": public_pem(signer),
        "kid": signer.kid.encode(),
        "member x": str(jwk.get("x", jwk.get("n"))).encode(),
    }
    return {
        f"{algorithm}, {name}": _mac(stand, algorithm, digest, secret)
        for name, secret in secrets.items()
        for algorithm, digest in (("HS256", "sha256"), ("HS512", "sha512"))
    }


def _mac(stand: Stand, algorithm: str, digest: str, secret: bytes) -> str:
    text = f"{segment(stand.header(alg=algorithm))}.{segment(stand.claims())}"
    return f"{text}.{b64(hmac.digest(secret, text.encode(), digest))}"


def _other_algorithm(stand: Stand) -> Mapping[str, str]:
    own = stand.signer.algorithm
    names = ["ES256", "RS256", "PS256", "EdDSA", "ES256K", own.lower(), own.upper() + " "]
    return {
        f"alg {name}": compact(stand.signer, stand.header(alg=name), stand.claims())
        for name in names
        if name not in {own, *stand.options.algorithms}
    }


def _one_key_one_algorithm(stand: Stand) -> Mapping[str, str]:
    signer = stand.signer
    others = {"RS256": "PS256", "PS256": "RS256"}
    other = others.get(signer.algorithm)
    if other is None:
        return {}
    return {other: compact(signer, stand.header(alg=other), stand.claims(), other)}


def _bad_signatures(stand: Stand) -> Mapping[str, str]:
    head, payload, signature = stand.token().split(".")
    other = stand.token(sub="another").split(".")
    middle = len(signature) // 2
    other_character = "B" if signature[middle] == "A" else "A"
    flipped = f"{signature[:middle]}{other_character}{signature[middle + 1 :]}"
    impostor = Signer.generate(stand.signer.algorithm, kid=stand.signer.kid)
    return {
        "one character changed": f"{head}.{payload}.{flipped}",
        "payload of another token": f"{head}.{other[1]}.{signature}",
        "signature of another token": f"{head}.{payload}.{other[2]}",
        "no signature": f"{head}.{payload}.",
        "half a signature": f"{head}.{payload}.{signature[:middle]}",
        "zeros": f"{head}.{payload}.{b64(bytes(64))}",
        "another key under the same kid": stand.token(impostor),
    }


def _foreign(stand: Stand) -> Mapping[str, str]:
    return {"a key that was never published": stand.token(Signer.generate(stand.signer.algorithm))}


async def _embedded_keys(stand: Stand) -> Outcome:
    attacker = Signer.generate(stand.signer.algorithm)
    url = f"{stand.issuer.origin}{_TRAP}"
    stand.issuer.elsewhere[_TRAP] = Reply(body=jwks_of([attacker]))
    jwk = attacker.public_jwk()
    members: dict[str, dict[str, object]] = {
        "jwk": {"jwk": jwk},
        "jku": {"jku": url},
        "x5u": {"x5u": url},
        "x5c": {"x5c": [b64(b"certificate")]},
        "jwk, kid of the issuer": {"jwk": jwk, "kid": stand.signer.kid},
        "jku, kid of the issuer": {"jku": url, "kid": stand.signer.kid},
    }
    tokens = {
        name: compact(attacker, stand.header(attacker, **changes), stand.claims())
        for name, changes in members.items()
    }
    outcome = await all_refused(stand, tokens)
    if any(request.path == _TRAP for request in stand.issuer.requests):
        return replace(Outcome.of(good=False, seen=f"{outcome.seen}; the URL was fetched"))
    return outcome


def _critical(stand: Stand) -> Mapping[str, str]:
    crits: dict[str, dict[str, object]] = {
        "unknown": {"crit": ["x"], "x": 1},
        "absent member": {"crit": ["x"]},
        "empty": {"crit": []},
        "registered name": {"crit": ["alg"]},
        "not a list": {"crit": "exp", "exp": 1},
        "b64 false": {"crit": ["b64"], "b64": False},
    }
    return {
        name: compact(stand.signer, stand.header(**changes), stand.claims())
        for name, changes in crits.items()
    }


def _kids(stand: Stand) -> Mapping[str, str]:
    kid = stand.signer.kid
    kids: dict[str, object] = {
        "other case": kid.swapcase(),
        "white space": f" {kid}",
        "a path": "../../../../dev/null",
        "SQL": "x' UNION SELECT 'secret",
        "empty": "",
        "a number": 1,
        "a list": [kid],
        "an object": {"kid": kid},
        "1,000 characters": "k" * 1000,
    }
    attacker = Signer.generate(stand.signer.algorithm)
    return {
        name: compact(attacker, stand.header(kid=value), stand.claims())
        for name, value in kids.items()
    }


ROWS: Final = (
    refused("alg-none", "2", "tokens without a signature, `none` in any casing", _unsigned),
    refused("alg-hs256", "3", "an HMAC made with the public key", _with_the_public_key),
    refused("alg-mismatch", "1, 4", "an algorithm that is not the key's", _other_algorithm),
    refused("alg-per-key", "5", "an RSA key used with two algorithms", _one_key_one_algorithm),
    refused("bad-signature", "20", "changed tokens and signatures", _bad_signatures),
    refused("foreign-key", "21", "a key that the issuer never published", _foreign),
    Row("embedded-key", "17", "401 for keys in jwk, jku, x5u, x5c; no fetch", _embedded_keys),
    refused("critical-header", "15, 16", "a critical header that is not understood", _critical),
    refused("kid-tricks", "18", "kids that are not a published one", _kids, MALFORMED),
)
