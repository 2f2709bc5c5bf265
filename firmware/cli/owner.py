"""`veilcam owner`: the owner's own key, made and used on the owner's own computer."""

import argparse
import getpass
import json
import sys
import time
from pathlib import Path

from firmware.access import allowance
from firmware.access.change import KIND
from firmware.access.keyfile import make_owner_key, read_owner_key
from firmware.access.owner import LONGEST_KEY, MAGIC
from firmware.access.statement import DAY_S, LONGEST_S, Statement, sign
from firmware.cli.values import pair
from firmware.errors import UsageError

LONGEST_COMMENT = LONGEST_KEY - len(MAGIC) - 50


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = (
        "The owner's key. Make it on your own computer, keep FILE to yourself, and claim the camera with "
        "FILE.pub and the code that it showed at its first start: POST /api/v1/claim."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    keygen = actions.add_parser("keygen", help="make a signing key; asks for a passphrase")
    keygen.add_argument("file", metavar="FILE", type=Path, help="the private key; FILE.pub is its other half")
    keygen.add_argument("--comment", metavar="TEXT", type=_comment, default="", help="what you call it")
    keygen.add_argument("--no-passphrase", action="store_true", help="leave the file unencrypted")
    keygen.add_argument("--json", action="store_true", help="print one JSON object")
    keygen.set_defaults(handler=handle_keygen)
    signs = actions.add_parser("sign", help="allow one change of the settings that weakens privacy")
    signs.description = (
        "Prints a statement, for: veilcam settings set KEY=VALUE... --statement FILE. The camera's "
        "fingerprint is on its page and in veilcam doctor; it says which revision comes next."
    )
    signs.add_argument("pairs", metavar="KEY=VALUE", type=pair, nargs="+")
    signs.add_argument("--revision", metavar="N", type=int, required=True, help="which change")
    signs.set_defaults(handler=handle_sign)
    allow = actions.add_parser("allow-update", help="allow one update that weakens privacy")
    allow.description = "Prints a statement, for: veilcam ota install BUNDLE --statement FILE."
    allow.add_argument("release", metavar="RELEASE", help="the update's id, of veilcam ota verify --json")
    allow.add_argument("--counter", metavar="N", type=int, required=True, help="its security counter")
    allow.set_defaults(handler=handle_allow)
    for one in (signs, allow):
        one.add_argument("--key", metavar="FILE", type=Path, required=True, help="the owner's private key")
        one.add_argument("--device", metavar="FINGERPRINT", required=True, help="which camera")
        one.add_argument("--days", type=int, default=7, help="how long it is valid (default: %(default)s)")


def _comment(text: str) -> str:
    if len(text) <= LONGEST_COMMENT and text.isprintable():
        return text
    raise argparse.ArgumentTypeError(f"give at most {LONGEST_COMMENT} printable characters")


def handle_keygen(args: argparse.Namespace) -> int:
    """Make the key and print its fingerprint."""
    passphrase = "" if args.no_passphrase else _passphrase()
    public = make_owner_key(args.file, args.comment, passphrase)
    if args.json:
        print(json.dumps({"key": public.line(), "fingerprint": public.fingerprint}))
    else:
        print(f"{args.file}: keep it to yourself; {args.file}.pub is for the camera\n{public.fingerprint}")
    return 0


def handle_sign(args: argparse.Namespace) -> int:
    """Print a signed statement about settings."""
    return _say(args, KIND, args.revision, dict(args.pairs))


def handle_allow(args: argparse.Namespace) -> int:
    """Print a signed statement about an update."""
    return _say(args, allowance.KIND, args.counter, allowance.allows(args.release, args.counter))


def _say(args: argparse.Namespace, kind: str, revision: int, content: dict[str, object]) -> int:
    if not 1 <= args.days <= LONGEST_S // DAY_S:
        raise UsageError(f"owner: --days is 1 to {LONGEST_S // DAY_S}")
    issued = int(time.time())
    said = Statement(kind, args.device, revision, issued, issued + args.days * DAY_S, content)
    print(sign(said, read_owner_key(args.key, lambda: getpass.getpass("Passphrase: "))))
    return 0


def _passphrase() -> str:
    """Ask twice; raises UsageError where nobody can be asked, or both differ."""
    if not sys.stdin.isatty():
        raise UsageError("owner keygen: no terminal to ask for a passphrase at; or say --no-passphrase")
    first = getpass.getpass("Passphrase (empty for none): ")
    if first and first != getpass.getpass("Again: "):
        raise UsageError("owner keygen: the passphrases differ; run it again")
    return first
