"""`veilcam grants`: who may see the raw picture of the camera on this machine, and an end to it."""

import argparse
import json
from urllib.parse import quote

from firmware.cli.local import add_state, ask

API = "/api/v1/grants"


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = (
        "Grants of a running camera: a grant lives in its memory and ends with it. They are asked for and "
        "approved by people who are logged in (page or /api/v1/grants); the command line can end one."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    shown = actions.add_parser("list", help="open grants and requests, and those that ended lately")
    shown.set_defaults(handler=handle_list)
    revoke = actions.add_parser("revoke", help="end a grant or deny a request; the picture stops at once")
    revoke.add_argument("id", metavar="ID")
    revoke.set_defaults(handler=handle_revoke)
    for one in (shown, revoke):
        add_state(one)
        one.add_argument("--json", action="store_true", help="print one JSON object")


def handle_list(args: argparse.Namespace) -> int:
    """Print every grant."""
    told = ask(args.state, "GET", API)
    grants = told["grants"]
    if args.json:
        print(json.dumps(told))
    elif not grants:
        print("no grants")
    for grant in grants if isinstance(grants, list) and not args.json else ():
        left = f"{grant['left_s']:.0f} s left" if grant["state"] != "ended" else grant["why"]
        approver = f", approved by {grant['approver']}" if grant["approver"] else ""
        print(f"{grant['id']}  {grant['state']:<6} {grant['holder']}{approver}  {left}  {grant['purpose']}")
    return 0


def handle_revoke(args: argparse.Namespace) -> int:
    """End a grant."""
    told = ask(args.state, "DELETE", f"{API}/{quote(args.id, safe='')}")
    print(json.dumps(told) if args.json else f"{args.id}: ended")
    return 0
