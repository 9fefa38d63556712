"""The compact form: what is parsed, and what is refused before any cryptography."""

import pytest

from better_auth_keys import InvalidTokenError, Reason, Signer
from better_auth_keys.tokens.compact import MAX_JSON_DEPTH, parse_compact
from tests.keys.signed_tokens import b64, claims

HEAD = b64({"alg": "EdDSA", "kid": "k"})
BODY = b64({"sub": "alice"})
SIGNATURE = b64(bytes(64))


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def with_payload(payload: bytes) -> str:
    return f"{HEAD}.{b64(payload)}.{SIGNATURE}"


def with_header(header: bytes) -> str:
    return f"{b64(header)}.{BODY}.{SIGNATURE}"


MALFORMED = {
    "empty": "",
    "one part": "a",
    "row10 five parts, a JWE": f"{HEAD}.{BODY}.{SIGNATURE}.{BODY}.{SIGNATURE}",
    "row10 JSON serialization": '{"payload":"e30","signatures":[]}',
    "row11 padding": f"{HEAD}.{BODY}.{SIGNATURE}==",
    "row11 the other base64 alphabet": f"{HEAD}.{BODY}.{'+/' * 43}",
    "row11 a leading space": f" {HEAD}.{BODY}.{SIGNATURE}",
    "row11 a trailing line break": f"{HEAD}.{BODY}.{SIGNATURE}\n",
    "row11 not ASCII": f"{HEAD}.{BODY}.\u00e9",
    "row11 no signature": f"{HEAD}.{BODY}.",
    "row11 no payload": f"{HEAD}..{SIGNATURE}",
    "row11 an impossible length": f"{HEAD}.{BODY}.A",
    "row12 header in UTF-16": with_header("{}".encode("utf-16")),
    "row12 payload in Latin-1": with_payload(b'{"sub":"\xe9"}'),
    "row12 byte order mark": with_payload(b"\xef\xbb\xbf{}"),
    "row13 duplicate header member": with_header(b'{"alg":"none","alg":"EdDSA"}'),
    "row13 duplicate claim": with_payload(b'{"sub":"alice","sub":"bob"}'),
    "row13 duplicate member further in": with_payload(b'{"a":{"b":1,"b":2}}'),
    "row14 nested too deep": with_payload(nested(MAX_JSON_DEPTH + 1)),
    "row14 nested beyond recursion": with_payload(b"[" * 11_000),
    "payload an array": with_payload(b"[]"),
    "header a string": with_header(b'"EdDSA"'),
    "NaN": with_payload(b'{"exp":NaN}'),
    "an integer of 5000 digits": with_payload(b'{"exp":' + b"9" * 5000 + b"}"),
}


@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED)
def test_malformed_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidTokenError) as caught:
        parse_compact(token)
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    "token",
    [
        f"{b64({'alg': 'EdDSA', 'x': 'x' * 2048})}.{BODY}.{SIGNATURE}",
        f"{HEAD}.{BODY}.{'A' * 1404}",
    ],
    ids=["row14 the header", "row14 the signature"],
)
def test_oversized_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidTokenError) as caught:
        parse_compact(token)
    assert caught.value.reason is Reason.TOO_LARGE


def test_row14_nesting_up_to_the_limit_is_taken() -> None:
    token = f"{HEAD}.{b64(nested(MAX_JSON_DEPTH))}.{SIGNATURE}"
    assert "a" in parse_compact(token).unverified_claims


def test_many_brackets_in_a_string_are_no_depth() -> None:
    token = f"{HEAD}.{b64({'name': '[' * 1000})}.{SIGNATURE}"
    assert parse_compact(token).unverified_claims["name"] == "[" * 1000


def test_parts_of_a_good_token_are_given(signer: Signer) -> None:
    token = signer.mint(claims())
    unverified = parse_compact(token)
    assert unverified.unverified_header == {"alg": "EdDSA", "kid": signer.kid}
    assert unverified.unverified_claims == claims()
    assert unverified.signing_input.decode() == token.rpartition(".")[0]
    assert len(unverified.signature) == 64
