"""Reads the command line, runs one verb, and turns errors into one line and an exit status."""

import argparse
import importlib
import resource
import sys
from collections.abc import Sequence

from firmware.errors import VeilcamError

VERBS = ("run", "redact", "bench", "boards", "models", "doctor")
"""Each verb is a module of this package with `add(subparsers)`; its parser sets `handler`."""


def build() -> argparse.ArgumentParser:
    """Return the whole parser."""
    parser = argparse.ArgumentParser(
        prog="veilcam",
        description="Privacy camera: people are hidden on the device before any picture leaves it.",
        epilog="Exit status: 0 success, 2 wrong use, 1x a board, manifest or settings file, 20 a driver or "
        "package, 3x the camera or clip, 4x model files, 5x a detector, 60 the output, 70 the encoder; the "
        "line on standard error says what to do.",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        importlib.import_module(f"firmware.cli.{verb}").add(verbs)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    args = build().parse_args(argv)
    # A core dump would hold the last unhidden frames.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        return int(args.handler(args) or 0)
    except VeilcamError as exc:
        print(f"veilcam: {exc}", file=sys.stderr)
        return exc.exit_code
    except KeyboardInterrupt:
        return 130
