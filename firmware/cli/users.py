"""`veilcam users`: the accounts of the camera on this machine."""

import argparse
import datetime as dt
import getpass
import json
import secrets
import sys
from urllib.parse import quote

from firmware.access.roles import ROLES
from firmware.cli.local import add_state, ask, ask_text

API = "/api/v1/users"


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    roles = "; ".join(f"{name}: {', '.join(sorted(rights))}" for name, rights in ROLES.items())
    parser.description = (
        f"The accounts of a camera. Roles and what they may do: {roles}. What leads to the raw picture (ask, "
        "approve, users) needs a second factor, which people set up themselves once they have logged in."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    shown = actions.add_parser("list", help="every account, its roles and when it was last used")
    shown.set_defaults(handler=handle_list)
    add = actions.add_parser("add", help="add an account; a password is made and printed this once")
    add.add_argument("name", metavar="NAME")
    _add_roles(add, required=False)
    add.set_defaults(handler=handle_add)
    change = actions.add_parser("roles", help="give an account other roles")
    change.add_argument("name", metavar="NAME")
    _add_roles(change, required=True)
    change.set_defaults(handler=handle_roles)
    reset = actions.add_parser("reset", help="give an account another password; its sessions end")
    reset.add_argument("name", metavar="NAME")
    reset.add_argument("--second-factor", action="store_true", help="take the second factors away")
    reset.set_defaults(handler=handle_reset)
    remove = actions.add_parser("remove", help="remove an account; what it watches ends")
    remove.add_argument("name", metavar="NAME")
    remove.set_defaults(handler=handle_remove)
    for one in (add, reset):
        one.add_argument("--ask-password", action="store_true", help="ask for it instead of making one")
    for one in (shown, add, change, reset, remove):
        add_state(one)
        one.add_argument("--json", action="store_true", help="print one JSON object")


def _add_roles(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--role",
        dest="roles",
        choices=list(ROLES),
        action="append",
        required=required,
        help="can be given more than once (default: viewer)",
    )


def handle_list(args: argparse.Namespace) -> int:
    """Print every account."""
    told = ask(args.state, "GET", API)
    if args.json:
        print(json.dumps(told))
        return 0
    users = told["users"]
    for user in users if isinstance(users, list) else ():
        seen = user["seen_s"]
        last = "never" if seen is None else dt.datetime.fromtimestamp(seen, dt.UTC).isoformat()
        second = "second factor" if user["second_factor"] else "password only"
        print(f"{user['name']:<20} {', '.join(user['roles']):<28} {second:<14} last used {last}")
    return 0


def handle_add(args: argparse.Namespace) -> int:
    """Add an account."""
    password = _password(args)
    body: dict[str, object] = {"name": args.name, "roles": args.roles or ["viewer"], "password": password}
    return _report(args, ask(args.state, "POST", API, body), "added", password)


def handle_roles(args: argparse.Namespace) -> int:
    """Give an account other roles."""
    return _report(args, _change(args, {"roles": args.roles}), "changed")


def handle_reset(args: argparse.Namespace) -> int:
    """Set a password, and perhaps take the second factors away."""
    password = _password(args)
    body: dict[str, object] = {"password": password}
    if args.second_factor:
        body["reset_second_factor"] = True
    return _report(args, _change(args, body), "changed", password)


def handle_remove(args: argparse.Namespace) -> int:
    """Remove an account."""
    ask_text(args.state, "DELETE", f"{API}/{quote(args.name, safe='')}")
    print(json.dumps({"removed": args.name}) if args.json else f"{args.name}: removed")
    return 0


def _change(args: argparse.Namespace, body: dict[str, object]) -> dict[str, object]:
    return ask(args.state, "PATCH", f"{API}/{quote(args.name, safe='')}", body)


def _report(args: argparse.Namespace, told: dict[str, object], did: str, password: str = "") -> int:
    """Say what was done; a password that was made here is shown this once."""
    made = password if password and not args.ask_password else ""
    if args.json:
        print(json.dumps(told | ({"password": made} if made else {})))
    else:
        print(f"{args.name}: {did}" + (f"; its password, shown this once: {made}" if made else ""))
    return 0


def _password(args: argparse.Namespace) -> str:
    """Make a password, or ask for one: on standard input where that is no terminal."""
    if not args.ask_password:
        return secrets.token_urlsafe(12)
    return getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
