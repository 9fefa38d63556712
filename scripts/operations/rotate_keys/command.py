"""Rotate the signing keys of Better Auth without anyone noticing.

    rotate-keys status              every key: its state, who knows it, its next step and when
    rotate-keys publish             add a key that is served and does not sign yet
    rotate-keys activate [KID]      have a key sign, once every replica of the service knows it;
                                    with --replaces ALG, retire every key of another algorithm
    rotate-keys retire [KID]        have a superseded key leave the served ones in its time
    rotate-keys prune [KID]         remove what no good token needs any more
    rotate-keys revoke KID --reason WHY
                                    remove a key at once; its tokens are refused from now on
    rotate-keys reencrypt           encrypt every private key with the present secret
    rotate-keys run                 do what is due now and nothing else: for a timer

Without --execute nothing is changed: what would happen is shown. Without KID it is the key, or the
keys, whose turn it is. Each algorithm has its own keys: publish and activate without KID take the
first algorithm of SIGNING_ALGORITHM, unless --algorithm names another; run rotates all of them.
--json writes for machines. --force --reason WHY does what is refused because it would lock users
out. --file PATH, or SIGNING_KEYS_URL, works on keys in a file instead (./scripts/dev --api).

From the environment or .env: AUTH_DATABASE_URL (Better Auth's tables); BETTER_AUTH_SECRET and
BETTER_AUTH_SECRETS as web/ has them, and for reencrypt OLD_BETTER_AUTH_SECRET and
OLD_BETTER_AUTH_SECRETS where these no longer open what is there; SIGNING_ALGORITHM (EdDSA; several
with commas, the default first), ACCESS_TOKEN_LIFETIME (15m) and JWKS_GRACE_PERIOD (Better Auth's
jwks.gracePeriod); PINNED_KEYS (the kids that Better Auth's signingKeyId names, which are neither
retired nor revoked without --force); BETTER_AUTH_URL or JWKS_URL (the issuer, to see what it
serves); DATABASE_URL (to see that the service hears of it).
Exit codes: 0 done, or done already; 1 failed or refused; 2 usage; 3 nothing due.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Final

from better_auth_keys import SigningKeyError
from better_auth_keys.rotation.plan import RotationRefusedError
from better_auth_keys.rotation.policy import RotationPolicy, signing_algorithms
from scripts.operations.commands import (
    DONE,
    FAILED,
    NOTHING_DUE,
    USAGE,
    Parser,
    UsageError,
    duration,
)
from scripts.operations.rotate_keys.report import Status
from scripts.operations.rotate_keys.steps import Outcome, Rotation
from scripts.operations.rotate_keys.target import POLICY_OPTIONS, Target
from service.settings.durations import brief

_COMMANDS: Final = (
    *("status", "publish", "activate", "retire", "prune", "revoke", "reencrypt", "run"),
)
_MAX_REASON: Final = 500
_WORDS: Final = {
    "publish": ("publish", "published"),
    "activate": ("activate", "activated"),
    "retire": ("retire", "retired"),
    "prune": ("prune", "pruned"),
    "revoke": ("revoke", "revoked"),
    "reencrypt": ("re-encrypt", "re-encrypted"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    options = _parser().parse_args(argv)
    try:
        _check(options)
        return asyncio.run(_run(options))
    except UsageError as error:
        return _refuse(str(error), USAGE)
    except (SigningKeyError, RotationRefusedError) as error:
        return _refuse(str(error), FAILED)
    except KeyboardInterrupt:
        return _refuse("interrupted; a step is done whole or not at all: see status", FAILED)


async def _run(options: argparse.Namespace) -> int:
    target = Target.read(options)
    if options.command == "status":
        status = await Status.look(target)
        status.tell_machine() if options.json else status.tell()
        return DONE
    replaces = _replaced(options, target)
    await _require_hearing(target, options)
    rotation = Rotation(
        target,
        reason=options.reason or "routine",
        execute=options.execute,
        force=options.force,
        wait=options.wait,
        rsa_bits=options.rsa_bits,
    )
    try:
        await _carry_out(rotation, options, replaces)
    except (SigningKeyError, RotationRefusedError) as error:
        # Of a timer's run, steps may have been done before this one: they stay, and are told.
        if not (options.execute and rotation.outcomes):
            return _refuse(f"{error}; nothing was changed", FAILED)
        _tell(rotation.outcomes, options)
        return _refuse(str(error), FAILED)
    _tell(rotation.outcomes, options)
    return DONE if rotation.outcomes else NOTHING_DUE


async def _carry_out(
    rotation: Rotation, options: argparse.Namespace, replaces: Sequence[str]
) -> None:
    kid = options.kids[0] if options.kids else None
    match options.command:
        case "publish":
            await rotation.publish()
        case "activate":
            await rotation.activate(kid, replaces=replaces)
        case "retire":
            await rotation.retire(kid)
        case "prune":
            await rotation.prune(kid)
        case "revoke":
            await rotation.revoke(options.kids)
        case "reencrypt":
            await rotation.reencrypt()
        case _:
            await rotation.run()


async def _require_hearing(target: Target, options: argparse.Namespace) -> None:
    """Say what keeps the service from hearing of it; a revocation that it misses is none."""
    reason = await target.why_service_hears_nothing()
    if reason is None:
        return
    if options.command == "revoke" and "different databases" in reason and not options.force:
        raise RotationRefusedError(f"{reason} (--force removes it from the issuer all the same)")
    print(f"rotate-keys: warning: {reason}", file=sys.stderr)


def _replaced(options: argparse.Namespace, target: Target) -> tuple[str, ...]:
    """Return the algorithms whose keys are to be retired. Raises `UsageError`."""
    if options.replaces is None:
        return ()
    try:
        replaces = signing_algorithms(tuple(options.replaces.split(",")))
    except ValueError as error:
        raise UsageError(f"--replaces: {error}") from None
    for algorithm in replaces:
        if algorithm in target.algorithms:
            raise UsageError(
                f"--replaces {algorithm}: SIGNING_ALGORITHM still lists it, so its keys would be"
                " made again; take it out there first, for web/ as well"
            )
    return replaces


def _check(options: argparse.Namespace) -> None:
    """Raise `UsageError` for options that do not go together."""
    most = {"activate": 1, "retire": 1, "prune": 1, "revoke": 100}.get(options.command, 0)
    if len(options.kids) > most:
        raise UsageError(f"{options.command} takes {'no' if most == 0 else 'one'} KID")
    if options.replaces is not None and options.command != "activate":
        raise UsageError("--replaces goes with activate")
    reason = options.reason
    if options.command == "revoke" and not (options.kids and reason):
        raise UsageError("revoke needs a KID and --reason WHY")
    if options.force and not reason:
        raise UsageError("--force needs --reason WHY: it is written down")
    if reason is not None and not (reason.isprintable() and 0 < len(reason) <= _MAX_REASON):
        raise UsageError(f"--reason is one line of at most {_MAX_REASON} characters")


def _tell(outcomes: Sequence[Outcome], options: argparse.Namespace) -> None:
    # A preview's new key is not the one that there will be.
    made_up = {o.kid for o in outcomes if o.verb == "publish" and not options.execute}
    if options.json:
        steps = [
            {
                "verb": outcome.verb,
                "kid": None if outcome.kid in made_up else outcome.kid,
                "algorithm": outcome.algorithm or None,
                "already": outcome.already,
            }
            for outcome in outcomes
        ]
        print(json.dumps({"executed": options.execute, "steps": steps}))
        return
    for outcome in outcomes:
        name = "a new key" if outcome.kid in made_up else outcome.kid
        name += f" ({outcome.algorithm})" if outcome.algorithm else ""
        present, past = _WORDS[outcome.verb]
        if outcome.already:
            print(f"already {past}  {name}")
        else:
            print(f"{past if options.execute else f'would {present}'}  {name}")
    if not outcomes:
        print("rotate-keys: nothing is due", file=sys.stderr)
    elif not options.execute:
        print("rotate-keys: nothing was changed; add --execute to do it", file=sys.stderr)


def _parser() -> Parser:
    parser = Parser("rotate-keys", __doc__)
    parser.add_argument("command", choices=_COMMANDS, metavar="COMMAND")
    parser.add_argument("kids", nargs="*", metavar="KID")
    parser.add_argument("--execute", action="store_true", help="do it; without it, only show")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    parser.add_argument("--reason", metavar="WHY", help="what to write down")
    parser.add_argument("--force", action="store_true", help="do what would lock users out")
    parser.add_argument("--file", type=Path, metavar="PATH", help="keys in a file")
    parser.add_argument(
        "--wait", type=duration, default="2m", help="for replicas to learn a key (2m)"
    )
    parser.add_argument("--algorithm", help="EdDSA, ES256, ES512, RS256 or PS256")
    parser.add_argument("--replaces", metavar="ALG", help="retire every key of this algorithm")
    parser.add_argument("--rsa-bits", type=int, choices=(2048, 3072, 4096), default=2048)
    parser.add_argument(
        "--unencrypted", action="store_true", help="the issuer has disablePrivateKeyEncryption"
    )
    parser.add_argument("--old-unencrypted", action="store_true", help="it had, until now")
    defaults = {span.name: span.default for span in fields(RotationPolicy)}
    for name, variable in POLICY_OPTIONS.items():
        default = defaults[name]
        said = variable or (brief(default) if isinstance(default, timedelta) else "")
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=duration, metavar="SPAN", help=f"({said})"
        )
    return parser


def _refuse(text: str, code: int) -> int:
    print(f"rotate-keys: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
