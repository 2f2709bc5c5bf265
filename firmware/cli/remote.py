"""`veilcam remote`: the broker that a camera is connected to, and the certificate that it is known by."""

import argparse
import datetime as dt
import json
from pathlib import Path

from firmware.cli.local import add_state, ask
from firmware.errors import ConfigError

API = "/api/v1/remote"


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = (
        "A camera is connected to an MQTT 5 broker where its settings name one (mqtt, mqtt_ca). It is known "
        "there by a certificate: make a request, have your authority sign it, install what it made."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    status = actions.add_parser("status", help="is it connected, as whom, until when is its certificate good")
    status.set_defaults(handler=handle_status)
    request = actions.add_parser("request", help="make a key, and print a signing request for it (PEM)")
    request.set_defaults(handler=handle_request)
    install = actions.add_parser("install", help="take the certificate that an authority made of the request")
    install.add_argument("certificate", metavar="FILE", type=Path, help="PEM; with its chain, if it has one")
    install.set_defaults(handler=handle_install)
    for one in (status, request, install):
        add_state(one)
        one.add_argument("--json", action="store_true", help="print one JSON object")


def handle_status(args: argparse.Namespace) -> int:
    """Print how it stands."""
    told = ask(args.state, "GET", API)
    if args.json:
        print(json.dumps(told))
        return 0
    certificate = told["certificate"]
    known = "no certificate: veilcam remote request"
    if isinstance(certificate, dict):
        ends = dt.datetime.fromtimestamp(certificate["ends_s"], dt.UTC)
        known = f"certificate good until {ends:%Y-%m-%d}, by {certificate['issuer']}"
    state = "connected" if told["up"] else f"not connected: {told['why']}"
    print(f"{told['device']} at {told['broker'] or 'no broker'}: {state}; {known}")
    return 0


def handle_request(args: argparse.Namespace) -> int:
    """Print a signing request."""
    told = ask(args.state, "POST", f"{API}/request")
    print(json.dumps(told) if args.json else str(told["request"]).rstrip())
    return 0


def handle_install(args: argparse.Namespace) -> int:
    """Have a certificate taken."""
    try:
        content = args.certificate.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{args.certificate}: cannot be read; give a PEM file") from exc
    told = ask(args.state, "POST", f"{API}/certificate", {"certificate": content})
    print(json.dumps(told) if args.json else f"{args.certificate}: installed; the camera connects with it")
    return 0
