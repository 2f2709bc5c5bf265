"""`veilcam doctor`: what this machine has and lacks; it runs where packages are missing, and names them."""

import argparse
import importlib
import json
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from firmware.cli.memory import swaps
from firmware.cli.packages import PACKAGES, how_to_install, installed, missing_package
from firmware.errors import DriverUnavailable


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: whether it is well, and what was seen or what to do."""

    ok: bool
    what: str
    detail: str


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = "Says what this machine has and lacks; exit status 1 if it lacks anything."
    parser.add_argument(
        "--state",
        metavar="DIR",
        type=Path,
        default=None,
        help="tell whose keys are in this state folder, and reach its broker, if one is named",
    )
    parser.add_argument("--board", metavar="NAME|FILE", help="default: this machine's, else laptop")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    parser.set_defaults(handler=handle)


def handle(args: argparse.Namespace) -> int:
    """Print every finding; exit status 1 if anything is not well."""
    findings = list(examine(args.board, args.state))
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'LACK'}  {finding.what:<12}{finding.detail}")
    return 0 if all(finding.ok for finding in findings) else 1


def examine(board: str | None, state: Path | None = None) -> Iterator[Finding]:
    """Look at Python, packages, board, drivers and models, and at the device's keys where that was asked."""
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield Finding(fits, "python", f"{platform.python_version()} on {platform.machine()}")
    # Native packages print tracebacks of their own where numpy is missing: then they are not imported.
    numbers = installed("numpy") is not None
    for package in PACKAGES:
        yield _package(package, tried=numbers or package == "numpy")
    yield _memory()
    try:
        with missing_package("reading boards and models"):
            told = importlib.import_module("firmware.cli.doctor_board").examine(board)
            yield from (Finding(*one) for one in told)
            if state is not None:
                yield Finding(*importlib.import_module("firmware.cli.doctor_device").examine(state))
                about = importlib.import_module("firmware.cli.doctor_remote").examine(state)
                yield from (Finding(*one) for one in about)
    except DriverUnavailable as exc:
        yield Finding(False, "board", str(exc))


def _memory() -> Finding:
    """Tell where unhidden frames could reach a disk; whether that is well depends on the disk."""
    places = swaps()
    if not places:
        return Finding(True, "memory", "no swap: frames do not reach a disk")
    told = f"swap on {', '.join(places)}: unhidden frames may be written there; encrypt it, or: swapoff -a"
    return Finding(True, "memory", told)


def _package(package: str, *, tried: bool) -> Finding:
    found = installed(package, tried=tried)
    if found is None:
        return Finding(False, "package", f"{PACKAGES[package]} is missing; {how_to_install(package)}")
    return Finding(True, "package", f"{PACKAGES[package]} {found}")
