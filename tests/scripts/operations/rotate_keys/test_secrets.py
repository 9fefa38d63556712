"""`rotate-keys` and the secret that encrypts the private keys."""

import pytest

from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets
from tests.scripts.operations.rotate_keys.commands import DAY, FORCE, Rotate, do
from tests.simulators.jwks_table import SECRET, Issuer


def test_changed_secret(rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    kid = do(issuer.mint_key(age=DAY))
    new = "another-secret-of-the-issuer-01234567"
    monkeypatch.setenv("BETTER_AUTH_SECRETS", f"2:{new}")
    # Versioned secrets also decrypt what was encrypted with the plain one before.
    said = rotate("reencrypt", "--execute")
    assert (said.code, said.out) == (0, f"re-encrypted  {kid}\n")
    assert rotate("reencrypt", "--execute").code == 3
    changed = Issuer(issuer.url, secrets=IssuerSecrets.parse(None, f"2:{new}"))
    assert do(changed.signs_with()) == kid
    # Change back to a plain secret: the keys can only be decrypted with the old secrets.
    monkeypatch.delenv("BETTER_AUTH_SECRETS")
    assert "the given secret does not decrypt it" in rotate("status").err
    refused = rotate("reencrypt", "--execute")
    assert (refused.code, "opens with neither" in refused.err) == (1, True)
    monkeypatch.setenv("OLD_BETTER_AUTH_SECRETS", f"2:{new}")
    assert rotate("reencrypt", "--execute").code == 0
    assert do(issuer.signs_with()) == kid
    assert do(issuer.sign({"sub": "ada"})).count(".") == 2


def test_reencrypt_changes_nothing_if_one_key_cannot_be_decrypted(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(issuer.mint_key(age=DAY))
    stranger = Issuer(issuer.url, secrets=IssuerSecrets("nobody knows this secret any more 0123"))
    do(stranger.mint_key(age=2 * DAY))
    before = do(issuer.rows())
    monkeypatch.setenv("OLD_BETTER_AUTH_SECRET", SECRET)
    monkeypatch.setenv("BETTER_AUTH_SECRET", "another-secret-of-the-issuer-01234567")
    assert rotate("reencrypt", "--execute").code == 1
    assert do(issuer.rows()) == before


def test_secret_of_the_issuer_is_needed_to_publish_but_not_for_the_status(
    rotate: Rotate, issuer: Issuer
) -> None:
    clear = Issuer(issuer.url, secrets=IssuerSecrets())
    do(clear.mint_key(age=DAY))
    assert "NO" in rotate("status").out
    assert rotate("publish", "--execute").code == 1


def test_unencrypted_keys_require_an_option(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear = Issuer(issuer.url, secrets=IssuerSecrets())
    do(clear.mint_key(age=DAY))
    assert rotate("publish", "--unencrypted", "--execute").code == 2
    monkeypatch.delenv("BETTER_AUTH_SECRET")
    kid = rotate("publish", "--unencrypted", "--execute", "--json").json["steps"][0]["kid"]
    rotate("activate", "--unencrypted", "--execute", *FORCE)
    assert do(clear.signs_with()) == kid
