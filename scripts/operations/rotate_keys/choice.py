"""Choose the keys that a command works on, from the list of all keys."""

from collections.abc import Collection, Sequence

from better_auth_keys.rotation.plan import RotationRefusedError, standby
from better_auth_keys.rotation.store import SigningKey, UnknownKeyError, active_keys


def to_activate(
    keys: Sequence[SigningKey], kid: str | None, default: str, replaces: Collection[str]
) -> SigningKey:
    """Return the key that `activate` works on: `kid`, or one of the algorithm `default`.

    Raises `UnknownKeyError` or `RotationRefusedError`.
    """
    if kid is not None:
        key = next((key for key in keys if key.kid == kid), None)
        if key is None:
            raise UnknownKeyError(kid)
    else:
        # A key that already signs can replace the keys of another algorithm.
        active = active_keys(keys).get(default) if replaces else None
        key = active or standby(keys, default)
        if key is None:
            raise RotationRefusedError(f"no {default} key is waiting to sign: publish one first")
    if key.algorithm in replaces:
        raise RotationRefusedError(
            f"key {key.kid} is itself a key of {key.algorithm}: --replaces must name another"
            " algorithm"
        )
    return key


def to_succeed(keys: Sequence[SigningKey], kids: Collection[str]) -> list[SigningKey]:
    """Return the keys that need a successor once `kids` are revoked.

    If no key signs at all, this is any key: without a successor the issuer would create a key.
    """
    lost = [key for key in keys if key.signs and key.kid in kids]
    if not lost and keys and not any(key.signs for key in keys):
        return [keys[-1]]
    return lost
