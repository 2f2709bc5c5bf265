"""`veilcam redact`: hides people in pictures and clips."""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from firmware.config.model import ModelCache, default_cache, load_chains
from firmware.core.policy import POLICIES
from firmware.errors import OutputError, UsageError
from firmware.redact.files import jobs_of
from firmware.redact.work import Manner, Report, redact
from firmware.state import written


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = (
        "Hides people in a picture, a clip, or all of a folder. Sound and metadata are left out. "
        "What is neither picture nor clip is left out and named, never copied."
    )
    parser.epilog = (
        "Exit status: 0 all pictures and clips are redacted, 2 wrong use, 31 no such input, 32 one could not "
        "be read whole, or is of a kind that is not read (the rest is done; each such file is named), 41 no "
        "models, 60 an output cannot be written."
    )
    parser.add_argument("input", metavar="INPUT", type=Path, help="a picture, a clip or a folder of them")
    parser.add_argument("output", metavar="OUTPUT", type=Path, help="where to write, under the same names")
    parser.add_argument("--regions", metavar="FILE", type=Path, help="write what was hidden as JSON")
    parser.add_argument(
        "--pace", choices=("realtime", "thorough"), default="thorough", help="default: %(default)s"
    )
    parser.add_argument("--policy", choices=sorted(POLICIES), default="people", help="default: %(default)s")
    parser.add_argument(
        "--chain",
        choices=("auto", *(c.name for c in load_chains())),
        default="auto",
        help="default: %(default)s",
    )
    parser.add_argument("--threads", type=_threads, default=1, metavar="N", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object about what was done")
    parser.set_defaults(handler=handle)


def _threads(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 16:
        return int(text)
    raise argparse.ArgumentTypeError("give 1 to 16 threads")


class Bar:
    """Progress on a terminal, what went wrong on standard error."""

    def __init__(self, bar: "tqdm[Any]") -> None:
        self._bar = bar

    def file(self, name: str) -> None:
        """Show the name of the file at work."""
        self._bar.set_description(name[-40:])

    def expect(self, steps: int) -> None:
        """Make the bar longer."""
        self._bar.total = (self._bar.total or 0) + steps

    def step(self) -> None:
        """Move the bar on."""
        self._bar.update()

    def told(self, line: str) -> None:
        """Print a line about a file."""
        self._bar.write(f"veilcam: {line}", file=sys.stderr)


def handle(args: argparse.Namespace) -> int:
    """Redact, report, and return the exit status of what went wrong first."""
    found = jobs_of(args.input, args.output)
    if args.regions is not None and args.regions.resolve() in {
        p.resolve() for j in found.jobs for p in (j.source, j.target)
    }:
        raise UsageError(f"--regions {args.regions}: is an input or an output; give another file")
    report = Report(found.left_out)
    manner = Manner(args.pace == "realtime", POLICIES[args.policy], args.chain, args.threads)
    with tqdm(unit="frame", disable=not sys.stderr.isatty()) as bar:
        shown = Bar(bar)
        for name, why in found.left_out.items():
            shown.told(f"{args.input / name}: {why}")
        asyncio.run(redact(manner, ModelCache(default_cache()), found.jobs, report, shown))
    if args.regions is not None:
        _write_regions(args.regions, report)
    _print(report, as_json=args.json)
    return report.exit_code


def _write_regions(path: Path, report: Report) -> None:
    with written(path) as part:
        try:
            part.write_text(json.dumps(report.regions), encoding="utf-8")
        except OSError as exc:
            raise OutputError(f"{path}: cannot be written: {exc.strerror}; choose another place") from exc


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report.as_json()))
        return
    told = report.as_json()
    print(
        f"redacted {len(report.regions)} files, {told['frames']} frames; {len(report.incomplete)} of them "
        f"not whole; {len(report.failed)} failed; {len(report.left_out)} left out"
    )
