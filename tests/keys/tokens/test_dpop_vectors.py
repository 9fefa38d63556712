"""The examples of RFC 9449: their proofs, thumbprint and token hash."""

import json
from typing import Final

import pytest

from better_auth_keys import DpopProof, DpopVerifier, InvalidDpopProofError, Reason
from better_auth_keys.tokens.compact import parse_compact
from better_auth_keys.tokens.dpop import token_hash
from better_auth_keys.tokens.jwk import parse_jwk

_HEADER: Final = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0Vj"
    "NoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5"
    "VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
)
# Section 4.1, for the token endpoint: it has no `ath`.
TOKEN_REQUEST: Final = (
    f"{_HEADER}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVy"
    "LmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ"
    ".2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
# Section 7.1, for a protected resource.
RESOURCE_REQUEST: Final = (
    f"{_HEADER}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJj"
    "ZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0"
    "RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9"
    ".2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
ACCESS_TOKEN: Final = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
# Section 6.1: the key of the proofs, in the claim `cnf` of a token.
THUMBPRINT: Final = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
BOUND_TOKEN: Final = (
    "eyJhbGciOiJFUzI1NiIsImtpZCI6IkJlQUxrYiJ9.eyJzdWIiOiJzb21lb25lQGV4YW1wbGUuY29tIiwiaXNzIjoia"
    "HR0cHM6Ly9zZXJ2ZXIuZXhhbXBsZS5jb20iLCJuYmYiOjE1NjIyNjI2MTEsImV4cCI6MTU2MjI2NjIxNiwiY25mIjp"
    "7ImprdCI6IjBaY09DT1JaTll5LURXcHFxMzBqWnlKR0hUTjBkMkhnbEJWM3VpZ3VBNEkifX0"
    ".3Tyo8VTcn6u_PboUmAOYUY1kfAavomW_YwYMkmRNizLJoQzWy2fCo79Zi5yObpIzjWb5xW4OGld7ESZrh0fsrA"
)
REQUEST: Final = DpopProof(
    RESOURCE_REQUEST, "GET", "https://resource.example.org/protectedresource"
)


def verifier(now: float) -> DpopVerifier:
    return DpopVerifier(now=lambda: now)


@pytest.mark.parametrize("proof", [TOKEN_REQUEST, RESOURCE_REQUEST], ids=["4.1", "7.1"])
def test_row57_signature_and_thumbprint_of_the_examples_are_right(proof: str) -> None:
    parsed = parse_compact(proof)
    key = parse_jwk(parsed.unverified_header["jwk"], "ES256")
    assert key.thumbprint == THUMBPRINT
    assert key.verifies(parsed.signing_input, parsed.signature)


def test_row59_token_hash_is_that_of_the_example() -> None:
    assert token_hash(ACCESS_TOKEN) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"


def test_row63_bound_token_of_the_example_names_the_key_of_the_proofs() -> None:
    claims = parse_compact(BOUND_TOKEN).unverified_claims
    assert json.dumps(claims["cnf"]) == f'{{"jkt": "{THUMBPRINT}"}}'


async def test_row56_proof_for_the_protected_resource_is_accepted() -> None:
    await verifier(1562262618).verify(ACCESS_TOKEN, THUMBPRINT, REQUEST)


async def test_row59_proof_for_the_token_endpoint_is_refused_with_a_token() -> None:
    request = DpopProof(TOKEN_REQUEST, "POST", "https://server.example.com/token")
    with pytest.raises(InvalidDpopProofError) as refused:
        await verifier(1562262616).verify(ACCESS_TOKEN, THUMBPRINT, request)
    assert refused.value.reason is Reason.PROOF_HASH


async def test_row60_proof_of_the_example_is_too_old_today() -> None:
    with pytest.raises(InvalidDpopProofError) as refused:
        await verifier(1562262618 + 70).verify(ACCESS_TOKEN, THUMBPRINT, REQUEST)
    assert refused.value.reason is Reason.PROOF_TIME


def test_row64_challenge_has_the_form_of_the_examples() -> None:
    # Section 7.1: DPoP algs="ES256 PS256"
    assert DpopVerifier(algorithms=["PS256", "ES256"]).challenge() == 'DPoP algs="ES256 PS256"'
