"""`veilcam audit`: the record of who did what, shown, proved and taken off the device."""

import argparse
import json
from pathlib import Path
from urllib.parse import urlencode

from firmware.access.identity import known_identity
from firmware.access.record import KeptHead, prove, read_head
from firmware.audit import DAMAGED, EMPTY, FILE, FOLDER, Act, Head, lines_of
from firmware.cli.local import add_state, ask, ask_text
from firmware.errors import RecordDamaged, UsageError
from firmware.state import written

API = "/api/v1/audit"


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = (
        "Who saw the raw picture and why, who changed what, who was refused. Every entry is signed by the "
        "device and names the one before; keep an export's head elsewhere, and verify finds what is missing."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="print the newest entries")
    show.add_argument("--what", choices=[act.value for act in Act], metavar="ACT", help=", ".join(Act))
    show.add_argument("--who", help="of one person")
    show.add_argument("--last", type=int, default=50, metavar="N", help="how many (default: %(default)s)")
    show.set_defaults(handler=handle_show)
    verify = actions.add_parser("verify", help="prove that nothing was changed, moved or taken out")
    verify.description = (
        "Proves the record in the state folder, or an exported FILE with its head; exit status 63 where it "
        "is damaged. Give the newest --head that you kept: without one, nobody can tell what was cut off."
    )
    verify.add_argument("file", metavar="FILE", type=Path, nargs="?", help="an exported record")
    verify.add_argument("--head", metavar="FILE", type=Path, help="a head that was kept, such as FILE.head")
    verify.add_argument("--device", metavar="FINGERPRINT", help="the device that it has to be of")
    verify.set_defaults(handler=handle_verify)
    export = actions.add_parser("export", help="write the record to FILE, and its signed head to FILE.head")
    export.add_argument("file", metavar="FILE", type=Path)
    export.set_defaults(handler=handle_export)
    for one in (show, verify, export):
        add_state(one)
        one.add_argument("--json", action="store_true", help="print one JSON object")


def handle_show(args: argparse.Namespace) -> int:
    """Print entries, newest first."""
    asked = {"limit": args.last, "what": args.what, "who": args.who}
    told = ask(args.state, "GET", f"{API}?{urlencode({key: v for key, v in asked.items() if v})}")
    if args.json:
        print(json.dumps(told))
        return 0
    entries = told["entries"]
    for entry in entries if isinstance(entries, list) else ():
        about = ", ".join(f"{key} {value}" for key, value in entry["about"].items())
        print(f"{entry['n']:>6}  {entry['at']}  {entry['what']:<16} {entry['who']:<16} {about}")
    return 0


def handle_export(args: argparse.Namespace) -> int:
    """Write the record and its head, the head first: what is written has at least what it names."""
    head = ask_text(args.state, "GET", f"{API}/head")
    with written(args.file.with_name(f"{args.file.name}.head")) as part:
        part.write_text(head, encoding="ascii")
    with written(args.file) as part:
        part.write_text(ask_text(args.state, "GET", f"{API}/export"), encoding="ascii")
    kept = read_head(head)
    _report(args, kept.device, kept.head, f"{args.file}: written; keep {args.file}.head elsewhere")
    return 0


def handle_verify(args: argparse.Namespace) -> int:
    """Prove a record."""
    kept, path = _kept(args), args.file or args.state / FOLDER / FILE
    if args.device not in (None, kept.device):
        raise RecordDamaged(f"the head is of another device: {kept.device}")
    try:
        head = prove(lines_of(path), kept.public, kept.head)
    except OSError as exc:
        raise UsageError(f"{path}: cannot be read: {exc.strerror}; name an exported record") from exc
    except RecordDamaged as exc:
        raise RecordDamaged(f"{path}: {exc}; compare it with an earlier export") from exc
    put_away = sorted(path.parent.glob(DAMAGED)) if args.file is None else []
    if put_away:
        raise RecordDamaged(f"{put_away[0]}: a record that was damaged before this one began")
    _report(args, kept.device, head, f"{path}: whole")
    return 0


def _kept(args: argparse.Namespace) -> KeptHead:
    """Return the head that was kept, or else nothing but the device's own key."""
    if args.head is not None:
        try:
            return read_head(args.head.read_bytes())
        except OSError as exc:
            raise UsageError(f"{args.head}: cannot be read: {exc.strerror}") from exc
    if args.file is not None:
        raise UsageError("audit verify FILE: give its --head, too, which names the device's key")
    identity = known_identity(args.state)
    if identity is None:
        raise UsageError(f"{args.state}: no camera has run there; name another with --state")
    return KeptHead(identity.keys.signing_public, EMPTY)


def _report(args: argparse.Namespace, device: str, head: Head, line: str) -> None:
    if args.json:
        print(json.dumps({"device": device, "entries": head.n, "sha256": head.sha256}))
    else:
        print(f"{line}\n{head.n} entries of device {device}\nhead {head.sha256}")
