"""Arguments that take one string or several: one string is one value, other types are errors."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest

from better_auth_keys import (
    InvalidTokenError,
    Reason,
    RemoteKeySet,
    RevocationList,
    Signer,
    StaticKeySet,
    VerificationPolicy,
)
from better_auth_keys.key_sets.fetch import check_key_url
from better_auth_keys.tokens.jwk import parse_jwk
from tests.keys.signed_tokens import ORIGIN, claims, refusal, verifier_of

URL = "http://127.0.0.1:1/jwks"
FILE = Path("no such file")
ED = Signer.generate("EdDSA", kid="ed").public_jwk()

ARGUMENTS: dict[str, Callable[[object], object]] = {
    "issuers": lambda given: VerificationPolicy(given, ORIGIN),  # type: ignore[arg-type] # that is the test
    "audiences": lambda given: VerificationPolicy(ORIGIN, given),  # type: ignore[arg-type] # likewise
    "algorithms": lambda given: VerificationPolicy(ORIGIN, ORIGIN, algorithms=given),  # type: ignore[arg-type] # likewise
    "remote algorithms": lambda given: RemoteKeySet(URL, algorithms=given),  # type: ignore[arg-type] # likewise
    "file algorithms": lambda given: StaticKeySet.from_file(FILE, algorithms=given),  # type: ignore[arg-type] # likewise
    "key algorithms": lambda given: parse_jwk(ED, given),  # type: ignore[arg-type] # likewise
    "plain_http_hosts": lambda given: RemoteKeySet(URL, plain_http_hosts=given),  # type: ignore[arg-type] # likewise
    "kids": lambda given: RevocationList().replace(kids=given),  # type: ignore[arg-type] # likewise
}
WRONG: dict[str, Callable[[], object]] = {
    "bytes": lambda: b"EdDSA",
    "bytearray": lambda: bytearray(b""),
    "none": lambda: None,
    "number": lambda: 1,
    "mapping": lambda: {"EdDSA": "EdDSA"},
    "read-only mapping": lambda: MappingProxyType({}),
    "generator": lambda: (name for name in ["EdDSA"]),
    "iterator": lambda: iter(["EdDSA"]),
    "list with bytes": lambda: ["EdDSA", b"EdDSA"],
    "list with a list": lambda: [["EdDSA"]],
    "set with None": lambda: {None},
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("use", ARGUMENTS.values(), ids=ARGUMENTS)
def test_what_is_no_string_and_no_collection_of_strings_is_refused_when_given(
    use: Callable[[object], object], make: Callable[[], object]
) -> None:
    with pytest.raises(TypeError, match="must be a string or a collection of strings, not "):
        use(make())


@pytest.mark.parametrize(
    "several",
    [["EdDSA"], ("EdDSA",), {"EdDSA"}, frozenset({"EdDSA"}), {"EdDSA": 1}.keys(), "EdDSA"],
    ids=lambda value: type(value).__name__,
)
def test_any_collection_of_strings_is_taken_as_a_set(several: list[str]) -> None:
    policy = VerificationPolicy(several, several, algorithms=several)
    assert policy.issuers == policy.audiences == policy.algorithms == {"EdDSA"}
    assert all(
        type(value) is frozenset for value in (policy.issuers, policy.audiences, policy.algorithms)
    )


@pytest.mark.parametrize("issuer", ["h", "", "https", "app.example.com"])
async def test_policy_with_one_string_as_issuer_takes_no_part_of_it(
    signer: Signer, issuer: str
) -> None:
    verifier = verifier_of(signer, VerificationPolicy(ORIGIN, ORIGIN))
    assert (await verifier.verify(signer.mint(claims()))).issuer == ORIGIN
    assert await refusal(verifier, signer.mint(claims(iss=issuer))) is Reason.WRONG_ISSUER
    assert await refusal(verifier, signer.mint(claims(aud=issuer))) is Reason.WRONG_AUDIENCE


def test_one_plain_http_host_allows_no_part_of_its_name() -> None:
    check_key_url("http://keys.internal/jwks", "keys.internal")
    with pytest.raises(ValueError, match="https only"):
        check_key_url("http://internal/jwks", "keys.internal")


def test_one_revoked_kid_is_revoked() -> None:
    revocations = RevocationList()
    revocations.replace(kids="stolen")
    with pytest.raises(InvalidTokenError):
        revocations.check_key("stolen")
    revocations.check_key("s")


async def test_verifier_is_what_its_context_gives(signer: Signer) -> None:
    verifier = verifier_of(signer)
    async with verifier as entered:
        assert entered is verifier
        assert (await entered.verify(signer.mint(claims()))).subject == "alice"
