"""`veilcam settings`: what a camera's settings are, may be, and how they are changed."""

import argparse
import json
from pathlib import Path

from firmware.cli.local import add_state, ask
from firmware.cli.values import pair
from firmware.config.settings import Settings, load_settings
from firmware.config.weakening import schema, weakened_keys
from firmware.errors import ConfigError

API = "/api/v1/settings"


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = (
        "The settings of a camera. A change holds at once where that is possible, else at the next start. "
        "What weakens privacy needs the owner's signature: see veilcam owner sign."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="check a file (TOML) that is to be a camera's first settings")
    check.add_argument("file", metavar="FILE", type=Path)
    check.set_defaults(handler=handle_check)
    show = actions.add_parser("show", help="print the settings that hold")
    add_state(show)
    show.set_defaults(handler=handle_show)
    described = actions.add_parser(
        "schema", help="print the JSON Schema; x-weakens says what weakens privacy"
    )
    described.set_defaults(handler=handle_schema)
    change = actions.add_parser("set", help="change some keys")
    change.add_argument("pairs", metavar="KEY=VALUE", type=pair, nargs="+")
    change.add_argument("--statement", metavar="FILE", type=Path, help="what the owner has signed")
    add_state(change)
    change.set_defaults(handler=handle_set)
    for one in (check, show, change):
        one.add_argument("--json", action="store_true", help="print one JSON object")


def handle_check(args: argparse.Namespace) -> int:
    """Say whether a file is valid, and what of it is less private than the defaults."""
    settings = load_settings(args.file)
    weaker = weakened_keys(Settings(), settings)
    if args.json:
        told = {"valid": True, "weaker": weaker, "settings": settings.model_dump(mode="json")}
        print(json.dumps(told))
        return 0
    print(f"{args.file}: valid")
    for key in weaker:
        print(f"  {key}: less private than the default")
    return 0


def handle_show(args: argparse.Namespace) -> int:
    """Print every key, its value and its revision."""
    _print(ask(args.state, "GET", API), as_json=args.json)
    return 0


def handle_schema(args: argparse.Namespace) -> int:
    """Print the JSON Schema."""
    print(json.dumps(schema(), indent=2))
    return 0


def handle_set(args: argparse.Namespace) -> int:
    """Change the settings of the camera, whether it runs or not."""
    body: dict[str, object] = {"set": dict(args.pairs)}
    if args.statement is not None:
        body["statement"] = _read(args.statement)
    told = ask(args.state, "PATCH", API, body)
    _print(told, as_json=args.json)
    restart = told["restart"]
    if restart and isinstance(restart, list) and not args.json:
        print(f"at the next start: {', '.join(map(str, restart))}")
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot be read: {exc}; give what veilcam owner sign printed") from exc


def _print(told: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(told))
        return
    values = told["settings"]
    for key, value in values.items() if isinstance(values, dict) else ():
        print(f"{key:<16} {'-' if value is None else json.dumps(value, ensure_ascii=False)}")
    print(f"revision {told['revision']}, digest {told['digest']}")
