"""Better Auth's encryption of private keys: we can read what it writes, and it what we write."""

import json

import pytest

from better_auth_keys import Signer
from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets, UndecryptableKeyError

# RFC 8037, appendix A.1.
JWK = {
    "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    "kty": "OKP",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
}
PLAIN = "better-auth-secret-of-a-test-0123456789"
SECOND = "another-secret-of-a-test-0123456789ab"
# Written by better-auth 1.7.25's own symmetricEncrypt.
WRITTEN = json.dumps(
    "b80a1ff78749eb54d6398703d42379811a886b1051c64ca3a5f63f4f5d4a50900ab44a77ef250dd9af2dc2b53be7ad9e"
    "38b5bff1f3a69a582d4103eb1d8089257959b1fffd280275a9c4aa7ca88904f796e42719d63849b97feb68230cfdecf4"
    "80a6eb08b16b6b2bcee43199256ce4ac1272f126cbfea3a522b3b9510b69b351ed5bbfc709fc7271325148947206a2fa"
    "26123cf00d858daff1bb0aa144a9da02ca3ea14912c349c392"
)
WRITTEN_WITH_VERSION = json.dumps(
    "$ba$2$2c9715dfed2c5cca4c6df2b6eeb5266c1bd1593035d04d8483d21182299d8f591cd22e6baae246c9a3e851cffa"
    "894fb26529ff83f831312b53996a1876e53a272b4e8606b08be370ab397f016e8c1035ea7a2bfcbbfb64674e0d208352"
    "3b21dcd299231b437b878f4f1709d91be011f5d0748ebf6204825d33ee7c223e15d82079a135fc631a6b4707759615cf"
    "a42cf2f0d8b8d063e66b4b3c833998fcde97f9c928f51aff4cfe0543"
)
VERSIONED = IssuerSecrets.parse(PLAIN, f"2:{SECOND}, 1:{PLAIN}")


def test_what_better_auth_wrote_opens() -> None:
    assert IssuerSecrets(PLAIN).open(WRITTEN) == JWK
    assert VERSIONED.open(WRITTEN) == JWK, "the plain secret reads what is from before versions"
    assert VERSIONED.open(WRITTEN_WITH_VERSION) == JWK
    assert IssuerSecrets().open(json.dumps(JWK)) == JWK


@pytest.mark.parametrize(
    "secrets", [IssuerSecrets(PLAIN), VERSIONED, IssuerSecrets()], ids=["plain", "versions", "none"]
)
@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "ES512", "RS256", "PS256"])
def test_what_is_sealed_opens_again(secrets: IssuerSecrets, algorithm: str) -> None:
    jwk = Signer.generate(algorithm).private_jwk()
    column = secrets.seal(jwk)
    assert secrets.open(column) == jwk
    assert secrets.is_current(column)
    assert (str(jwk["d"]) in column) == (secrets == IssuerSecrets())
    assert secrets == IssuerSecrets() or secrets.seal(jwk) != column, "the nonce is a new one"


def test_form_of_another_setting_is_not_current() -> None:
    assert not VERSIONED.is_current(WRITTEN)
    assert not IssuerSecrets.parse(None, f"3:{SECOND}").is_current(WRITTEN_WITH_VERSION)
    assert not IssuerSecrets(PLAIN).is_current(WRITTEN_WITH_VERSION)
    assert not IssuerSecrets(PLAIN).is_current(json.dumps(JWK))
    assert not IssuerSecrets().is_current(WRITTEN)


BAD: dict[str, tuple[IssuerSecrets, str, str]] = {
    "another secret": (IssuerSecrets(SECOND), WRITTEN, "does not open"),
    "another version's secret": (
        IssuerSecrets.parse(None, f"2:{PLAIN}"),
        WRITTEN_WITH_VERSION,
        "does not open",
    ),
    "a version that is not set": (
        IssuerSecrets.parse(PLAIN, f"1:{SECOND}"),
        WRITTEN_WITH_VERSION,
        "no secret of version 2",
    ),
    "no secret for what is from before versions": (
        IssuerSecrets.parse(None, f"2:{PLAIN}"),
        WRITTEN,
        "no secret is set",
    ),
    "no secret at all": (IssuerSecrets(), WRITTEN, "no secret is set"),
    "a key in clear although there is a secret": (
        IssuerSecrets(PLAIN),
        json.dumps(JWK),
        "not encrypted",
    ),
    "one bit turned": (
        IssuerSecrets(PLAIN),
        WRITTEN[:-2] + ("1" if WRITTEN[-2] == "0" else "0") + '"',
        "does not open",
    ),
    "half of it": (IssuerSecrets(PLAIN), WRITTEN[:101] + '"', "does not open"),
    "nothing but a nonce": (IssuerSecrets(PLAIN), WRITTEN[:49] + '"', "does not open"),
    "less than a nonce": (IssuerSecrets(PLAIN), '"00"', "does not open"),
    "an odd number of digits": (IssuerSecrets(PLAIN), '"000"', "does not open"),
    "capitals": (IssuerSecrets(PLAIN), WRITTEN.upper(), "does not open"),
    "an empty string": (IssuerSecrets(PLAIN), '""', "does not open"),
    "a number": (IssuerSecrets(PLAIN), "7", "does not open"),
    "no JSON": (IssuerSecrets(PLAIN), "nonsense", "not in Better Auth's form"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_open_says_why_and_shows_nothing(case: str) -> None:
    secrets, column, message = BAD[case]
    with pytest.raises(UndecryptableKeyError, match=message) as caught:
        secrets.open(column)
    assert PLAIN not in str(caught.value)
    assert column[1:20] not in str(caught.value) or len(column) < 20
    assert caught.value.__cause__ is None


def test_sealed_text_that_is_no_key_does_not_count_as_one() -> None:
    assert IssuerSecrets(PLAIN).open(IssuerSecrets(PLAIN).seal({})) == {}
    column = IssuerSecrets(PLAIN).seal([])  # type: ignore[arg-type] # as another program might write
    with pytest.raises(UndecryptableKeyError, match="not a JWK"):
        IssuerSecrets(PLAIN).open(column)


@pytest.mark.parametrize("text", ["secret", "1:", ":x", "1:a,1:b", "-1:a", "1:a,", "x:a", "१:a"])
def test_versions_that_better_auth_refuses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"entry|twice") as caught:
        IssuerSecrets.parse(None, text)
    assert "secret" not in str(caught.value).replace("<secret>", "")


def test_secrets_are_not_shown() -> None:
    assert PLAIN not in repr(VERSIONED)
    assert SECOND not in repr(VERSIONED)
