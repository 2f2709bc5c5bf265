"""Reads the command line, runs one verb, and turns errors into one line and an exit status.

Only the verb that was asked for is imported: what another one needs may be missing, and `--help` is quick.
"""

import argparse
import importlib
import os
import select
import sys
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from firmware.cli.memory import keep_private
from firmware.cli.packages import missing_package
from firmware.errors import VeilcamError

READ_NO_MORE = 141
"""What a shell calls a program that SIGPIPE ended."""
VERBS: Mapping[str, str] = MappingProxyType(
    {
        "run": "run the camera",
        "redact": "hide people in files",
        "bench": "measure on this machine",
        "boards": "list and check board profiles",
        "owner": "make the owner's key, and sign with it",
        "settings": "check, show and change a camera's settings",
        "users": "the accounts of a camera",
        "grants": "who may see the raw picture, and an end to it",
        "audit": "show, prove and export the record of who did what",
        "remote": "the broker that a camera is connected to",
        "ota": "build, verify and install updates",
        "models": "list, fetch and verify model files",
        "doctor": "what this machine has and lacks",
    }
)
"""Each verb is a module of this package whose `fill(parser)` adds its arguments and sets `handler`."""


def build(verbs: Collection[str]) -> argparse.ArgumentParser:
    """Return the parser, with the arguments of the verbs named; the others have a name and one line.

    Raises:
        DriverUnavailable: a package that one of them needs is missing.
    """
    parser = argparse.ArgumentParser(
        prog="veilcam",
        description="Privacy camera: people are hidden on the device before any picture leaves it.",
        epilog="Exit status: 0 success, 2 wrong use, 1x a file or what a camera refuses, 20 a driver or "
        "package, 3x the camera or clip, 4x model files, 5x a detector, 6x the output, 70 the encoder, "
        "80 an update; the line on standard error says what to do.",
    )
    table = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, line in VERBS.items():
        one = table.add_parser(verb, help=line, description=line)
        if verb in verbs:
            with missing_package(f"veilcam {verb}"):
                importlib.import_module(f"firmware.cli.{verb}").fill(one)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    try:
        asked = next((word for word in argv if not word.startswith("-")), "")
        args = build([asked]).parse_args(argv)
        keep_private()
        with missing_package(f"veilcam {asked}"):
            status = int(args.handler(args) or 0)
        sys.stdout.flush()
    except VeilcamError as exc:
        print(f"veilcam: {exc}", file=sys.stderr)
        return exc.exit_code
    except BrokenPipeError:
        if not _is_read_no_more():
            raise
        return READ_NO_MORE
    except KeyboardInterrupt:
        return 130
    return status


def _is_read_no_more() -> bool:
    """Say whether nobody reads what is printed, as where `head` has enough; nothing more is printed then."""
    output, asked = sys.stdout.fileno(), select.poll()
    asked.register(output, 0)
    if not any(happened & select.POLLERR for _, happened in asked.poll(0)):
        return False
    # What is still to be written would fail once more when Python ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return True
