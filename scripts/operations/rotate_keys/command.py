"""Rotate Better Auth's signing keys without interrupting users.

    rotate-keys status              show each key's state, which replicas know it, and its next step
                                    (--watch: draw it every 2 s, until Ctrl-C or for an hour;
                                    --html PATH: write it as a web page, "-" to stdout)
    rotate-keys publish             add a key that is served but does not sign yet, unless there is
                                    one already
    rotate-keys activate [KID]      sign with a key, once every replica of the service knows it;
                                    with --replaces ALG, retire every key of another algorithm
    rotate-keys retire [KID]        stop serving a superseded key after the grace period
    rotate-keys prune [KID]         delete keys that no valid token needs
    rotate-keys revoke KID --reason WHY
                                    delete a key at once and refuse all of its tokens
    rotate-keys reencrypt           encrypt every private key with the current secret
    rotate-keys run                 do what is due now (for a timer)

Without --execute the command only shows what would happen. Without KID it works on the key, or the
keys, that are due. In the table of status, OPENS says whether the current secret opens the private
key, SERVED whether the issuer publishes the key, and KNOWN how many replicas know it (1/2: one of
two). Each algorithm has its own keys: publish and activate without KID use the first
algorithm of SIGNING_ALGORITHM, unless --algorithm names another; run rotates all of them.
--json writes JSON. --force --reason WHY does what would otherwise be refused because it would lock
users out. --file PATH, or SIGNING_KEYS_URL, works on keys in a file (./scripts/dev --api).

From the environment or .env: AUTH_DATABASE_URL (Better Auth's tables); BETTER_AUTH_SECRET and
BETTER_AUTH_SECRETS as in web/ and, if these no longer decrypt the keys, OLD_BETTER_AUTH_SECRET and
OLD_BETTER_AUTH_SECRETS for reencrypt; SIGNING_ALGORITHM (EdDSA; several separated by commas, the
default first); ACCESS_TOKEN_LIFETIME (15m); JWKS_GRACE_PERIOD (Better Auth's jwks.gracePeriod);
PINNED_KEYS (kids in Better Auth's signingKeyId, which are retired and revoked with --force only);
BETTER_AUTH_URL or JWKS_URL (the issuer, to check what it serves); DATABASE_URL (to check that the
service is notified).
Exit codes: 0 done, or already done; 1 failed or refused; 2 usage; 3 nothing due.
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
from scripts.operations.commands import ONLY_SHOWN, Parser, UsageError, check_reason, duration
from scripts.operations.exit_codes import DONE, NOTHING_DUE, USAGE, fail
from scripts.operations.rotate_keys.settings import POLICY_OPTIONS
from scripts.operations.rotate_keys.steps import Outcome, Rotation
from scripts.operations.rotate_keys.target import Target
from service.settings.durations import brief

_WORDS: Final = {
    "publish": ("publish", "published"),
    "activate": ("activate", "activated"),
    "retire": ("retire", "retired"),
    "prune": ("prune", "pruned"),
    "revoke": ("revoke", "revoked"),
    "reencrypt": ("re-encrypt", "re-encrypted"),
}
_COMMANDS: Final = ("status", *_WORDS, "run")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        _check(options)
        return asyncio.run(_run(options))
    except UsageError as error:
        return fail("rotate-keys", error, USAGE)
    except (SigningKeyError, RotationRefusedError) as error:
        return fail("rotate-keys", error)
    except KeyboardInterrupt:
        if options.watch:
            return DONE
        return fail("rotate-keys", "interrupted; each step is atomic: see rotate-keys status")


async def _run(options: argparse.Namespace) -> int:
    target = Target.read(options)
    if options.command == "status":
        # Only this command draws: a revocation must not depend on what draws tables.
        from scripts.operations.rotate_keys.status import show_status  # noqa: PLC0415 - see above

        await show_status(target, options)
        return DONE
    replaces = _replaced(options, target)
    await _check_notification(target, options)
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
        # Earlier steps of a `run` are committed, so they are reported.
        if not (options.execute and rotation.outcomes):
            return fail("rotate-keys", f"{error}; nothing was changed")
        _report(rotation.outcomes, options)
        return fail("rotate-keys", error)
    _report(rotation.outcomes, options)
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


async def _check_notification(target: Target, options: argparse.Namespace) -> None:
    """Warn if the service is not notified of the change. Refuse a revocation that it would miss."""
    reason = await target.why_not_notified()
    if reason is None:
        return
    if options.command == "revoke" and "different databases" in reason and not options.force:
        raise RotationRefusedError(
            f"{reason} (add --force to remove the key from the issuer anyway)"
        )
    print(f"rotate-keys: warning: {reason}", file=sys.stderr)


def _replaced(options: argparse.Namespace, target: Target) -> tuple[str, ...]:
    """Return the algorithms whose keys are retired. Raises `UsageError`."""
    if options.replaces is None:
        return ()
    try:
        replaces = signing_algorithms(tuple(options.replaces.split(",")))
    except ValueError as error:
        raise UsageError(f"--replaces: {error}") from None
    for algorithm in replaces:
        if algorithm in target.algorithms:
            raise UsageError(
                f"--replaces {algorithm}: SIGNING_ALGORITHM still lists it, so new keys would be"
                " published; remove it there first, for web/ as well"
            )
    return replaces


def _check(options: argparse.Namespace) -> None:
    """Raise `UsageError` for options that cannot be combined."""
    most = {"activate": 1, "retire": 1, "prune": 1, "revoke": 100}.get(options.command, 0)
    if len(options.kids) > most:
        raise UsageError(f"{options.command} takes {'no' if most == 0 else 'one'} KID")
    if options.command != "status" and (options.watch or options.html):
        raise UsageError("--watch and --html can only be used with status")
    if options.watch and not sys.stdout.isatty():
        raise UsageError("--watch requires a terminal: use status --json in a script")
    if options.replaces is not None and options.command != "activate":
        raise UsageError("--replaces can only be used with activate")
    reason = options.reason
    if options.command == "revoke" and not (options.kids and reason):
        missing = "a KID and --reason WHY" if not options.kids else "--reason WHY"
        raise UsageError(f"revoke requires {missing}")
    if options.force and not reason:
        raise UsageError("--force requires --reason WHY: it is recorded with the change")
    if reason is not None:
        check_reason(reason)


def _report(outcomes: Sequence[Outcome], options: argparse.Namespace) -> None:
    # A preview generates a key as well, but not the one that --execute will publish.
    made_up = {
        o.kid for o in outcomes if o.verb == "publish" and not (options.execute or o.already)
    }
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
        print(f"rotate-keys: {ONLY_SHOWN}", file=sys.stderr)


def _parser() -> Parser:
    parser = Parser("rotate-keys", __doc__)
    parser.add_argument("command", choices=_COMMANDS, metavar="COMMAND")
    # Without a default, the message for a missing command names KID as well.
    parser.add_argument("kids", nargs="*", default=(), metavar="KID")
    parser.add_argument(
        "--execute", action="store_true", help="apply the change (default: only show it)"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="write JSON for machines")
    output.add_argument("--watch", action="store_true", help="draw the status every 2 s")
    output.add_argument("--html", type=Path, metavar="PATH", help="write the status as a web page")
    parser.add_argument("--reason", metavar="WHY", help="the reason to record")
    parser.add_argument("--force", action="store_true", help="do what would be refused")
    parser.add_argument("--file", type=Path, metavar="PATH", help="use the keys in a file")
    parser.add_argument(
        "--wait", type=duration, default="2m", help="wait for replicas to learn a key (2m)"
    )
    parser.add_argument("--algorithm", help="EdDSA, ES256, ES512, RS256 or PS256")
    parser.add_argument("--replaces", metavar="ALG", help="retire every key of this algorithm")
    parser.add_argument("--rsa-bits", type=int, choices=(2048, 3072, 4096), default=2048)
    parser.add_argument(
        "--unencrypted", action="store_true", help="the issuer uses disablePrivateKeyEncryption"
    )
    parser.add_argument(
        "--old-unencrypted", action="store_true", help="the issuer used it until now"
    )
    defaults = {span.name: span.default for span in fields(RotationPolicy)}
    for name, variable in POLICY_OPTIONS.items():
        default = defaults[name]
        said = variable or (brief(default) if isinstance(default, timedelta) else "")
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=duration, metavar="SPAN", help=f"({said})"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
