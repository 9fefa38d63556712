"""`rotate-keys revoke`: a leaked key is removed, and another key signs."""

import pytest

from tests.conftest import DatabaseUrls
from tests.scripts.operations.rotate_keys.commands import DAY, Rotate, add, do, events
from tests.simulators.jwks_table import Issuer, connected


def test_revoking_the_active_key_activates_another(
    rotate: Rotate, issuer: Issuer, issuer_database: DatabaseUrls
) -> None:
    stolen = do(issuer.mint_key(age=DAY))
    standby = rotate("publish", "--execute", "--json").json["steps"][0]["kid"]
    assert rotate("revoke", stolen, "--execute").code == 2
    assert rotate("revoke", stolen, "--reason", "leaked", "--execute").code == 0
    assert do(issuer.serves()) == {standby}
    assert do(issuer.signs_with()) == standby
    again = rotate("revoke", stolen, "--reason", "leaked", "--execute", "--force")
    assert (again.code, again.out) == (0, f"already revoked  {stolen}\n")
    # No key is waiting now: a new key is published and activated in the same transaction.
    assert rotate("revoke", standby, "--reason", "leaked", "--execute").code == 0
    fresh = do(issuer.signs_with())
    assert do(issuer.serves()) == {fresh}
    assert [verb for verb, _, _ in do(events(issuer_database.auth))] == [
        "publish",
        "activate",
        "revoke",
        "publish",
        "activate",
        "revoke",
    ]


def test_revoking_the_active_key_of_an_algorithm_activates_another_of_it(
    rotate: Rotate, issuer: Issuer
) -> None:
    first, stolen = do(issuer.mint_key(age=DAY)), add(rotate, "ES256")
    assert rotate("revoke", stolen, "--reason", "leaked", "--execute").code == 0
    assert do(issuer.signs_with()) == first
    successor = do(issuer.signs_with("ES256"))
    assert successor not in {stolen, None}
    assert do(issuer.serves()) == {first, successor}


def test_successor_of_a_revoked_key_has_the_algorithm_that_every_replica_accepts(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stolen = do(issuer.mint_key(age=DAY))
    # During a change of algorithm: the new key is waiting, and not every replica accepts it.
    monkeypatch.setenv("SIGNING_ALGORITHM", "ES256")
    rotate("publish", "--execute")
    rotate("revoke", stolen, "--reason", "leaked", "--execute")
    (jwk,) = [key for key in do(issuer.jwks()) if key["kid"] == do(issuer.signs_with())]
    assert jwk["alg"] == "EdDSA"


def test_standby_that_is_revoked_too_is_not_activated(rotate: Rotate, issuer: Issuer) -> None:
    stolen = do(issuer.mint_key(age=DAY))
    standby = rotate("publish", "--execute", "--json").json["steps"][0]["kid"]
    assert rotate("revoke", stolen, standby, "--reason", "the secret leaked", "--execute").code == 0
    assert do(issuer.signs_with()) not in {stolen, standby, None}


def test_leaked_pinned_key_is_revoked_by_force_with_a_warning(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = do(issuer.mint_key(age=DAY))
    monkeypatch.setenv("PINNED_KEYS", pinned)
    refused = rotate("revoke", pinned, "--reason", "leaked", "--execute")
    assert (refused.code, "or revoke this one at once with --force" in refused.err) == (1, True)
    said = rotate("revoke", pinned, "--reason", "leaked", "--execute", "--force")
    assert (said.code, f"revoked  {pinned} (EdDSA)" in said.out) == (0, True)
    assert "issues no token where signingKeyId names it, until you change it" in said.err
    assert not do(issuer.can_sign(pinned))
    assert "is pinned (PINNED_KEYS) but cannot sign" in rotate("status").err


def test_revoking_the_active_key_is_refused_with_a_wrong_secret(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kid = do(issuer.mint_key(age=DAY))
    monkeypatch.setenv("BETTER_AUTH_SECRET", "x" * 40)
    said = rotate("revoke", kid, "--reason", "leaked", "--execute")
    assert (said.code, "of no use to the issuer" in said.err) == (1, True)
    assert do(issuer.signs_with()) == kid


def test_mistyped_kid_is_not_revoked_unless_forced(rotate: Rotate, issuer: Issuer) -> None:
    do(issuer.mint_key())
    said = rotate("revoke", "mistyped", "--reason", "x", "--execute")
    assert (said.code, "there is no key mistyped" in said.err) == (1, True)
    assert rotate("revoke", "long-gone", "--reason", "x", "--execute", "--force").code == 0


def test_revoked_key_from_a_backup_is_taken_out_again(rotate: Rotate, issuer: Issuer) -> None:
    stolen = do(issuer.mint_key(age=DAY))
    backup = do(issuer.rows())
    rotate("revoke", stolen, "--reason", "leaked", "--execute")

    async def restore() -> None:
        async with connected(issuer.url) as connection:
            await connection.execute("DELETE FROM jwks")
            await connection.executemany(
                "INSERT INTO jwks VALUES ($1, $2, $3, $4, $5, $6, $7)",
                [tuple(row.values()) for row in backup],
            )

    do(restore())
    assert do(issuer.signs_with()) == stolen
    said = rotate("status")
    assert "compromised" in said.out
    assert "was revoked but is in the table again" in said.err
    assert rotate("run", "--execute").code == 0
    assert do(issuer.signs_with()) not in {stolen, None}
    assert stolen not in do(issuer.serves())
