"""`veilcam boards`: the board profiles of this build."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from firmware.config.profile import (
    Profile,
    board_files,
    find_profile,
    load_profile,
    matching_profile,
    this_machine,
)
from firmware.drivers.registry import CAMERAS, DETECTORS, ENCODERS, LAMPS, load
from firmware.errors import DriverUnavailable


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = "The board profiles of this build."
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="every board of this build and what it lacks here")
    listing.add_argument("--json", action="store_true", help="print one JSON array")
    listing.set_defaults(handler=handle_list)
    check = actions.add_parser("check", help="check a board file; drivers need not be here")
    check.add_argument("board", metavar="NAME|FILE", nargs="?", help="default: every shipped board")
    check.add_argument("--json", action="store_true", help="print one JSON array of the valid boards")
    check.set_defaults(handler=handle_check)
    detect = actions.add_parser("detect", help="which board this machine is, and why")
    detect.description = "Where it is none of this build's boards, `veilcam run` takes laptop."
    detect.add_argument("--json", action="store_true", help="print one JSON object")
    detect.set_defaults(handler=handle_detect)


@dataclass(frozen=True, slots=True)
class Row:
    """One board as it is listed; `lacks` is why it cannot run here, a line each."""

    name: str
    title: str
    camera: str
    detectors: tuple[str, ...]
    encoder: str
    this_machine: bool
    lacks: tuple[str, ...]


def lacks(profile: Profile) -> tuple[str, ...]:
    """Return why each driver of the board that cannot run on this machine cannot, a line each."""
    wanted: list[tuple[str, Mapping[str, str], str]] = [("camera", CAMERAS, profile.camera.driver)]
    wanted += [("detector", DETECTORS, options.driver) for options in profile.detectors]
    wanted.append(("encoder", ENCODERS, profile.encoder.driver))
    wanted += [("lamp", LAMPS, profile.lamp.driver)] if profile.lamp else []
    found = []
    for kind, table, name in wanted:
        try:
            load(kind, table, name)
        except DriverUnavailable as exc:
            found.append(str(exc))
    return tuple(found)


def _row(profile: Profile, here: Profile | None) -> Row:
    return Row(
        profile.name,
        profile.title,
        profile.camera.driver,
        tuple(options.driver for options in profile.detectors),
        profile.encoder.driver,
        here is not None and here.name == profile.name,
        lacks(profile),
    )


def handle_list(args: argparse.Namespace) -> int:
    """Print every board."""
    here = matching_profile()
    rows = [_row(load_profile(path), here) for path in board_files()]
    if args.json:
        print(json.dumps([asdict(row) for row in rows]))
        return 0
    for row in rows:
        print(f"{row.name:<18}{row.title}{' (this machine)' if row.this_machine else ''}")
        print(f"{'':<18}camera {row.camera}, detectors {'+'.join(row.detectors)}, encoder {row.encoder}")
        for line in row.lacks:
            print(f"{'':<18}not here: {line}")
    return 0


def handle_detect(args: argparse.Namespace) -> int:
    """Print the board that this machine is."""
    machine, profile = this_machine(), matching_profile()
    told = {
        "board": profile.name if profile else None,
        "compatible": list(machine.compatible),
        "memory_mib": machine.memory_mib,
    }
    if args.json:
        print(json.dumps(told))
    elif profile:
        named = ", ".join(sorted(set(profile.compatible) & set(machine.compatible)))
        print(f"{profile.name}: {profile.title} ({named}; {machine.memory_mib} MiB)")
    else:
        tree = ", ".join(machine.compatible) or "no device tree"
        print(f"none of this build's boards ({tree}); write a board file, or run with --board laptop")
    return 0


def handle_check(args: argparse.Namespace) -> int:
    """Check one board file or all; a fault is raised as ConfigError."""
    names = [args.board] if args.board else [path.stem for path in board_files()]
    shown = []
    for name in names:
        profile = find_profile(name)
        shown.append(Path(name).name if name.endswith(".toml") else profile.name)
    print(json.dumps(shown) if args.json else "\n".join(f"{name}: valid" for name in shown))
    return 0
