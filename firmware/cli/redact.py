"""`veilcam redact`: hides people in pictures and clips."""

import argparse
import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from firmware.cli.redact_files import Job, identity, jobs_of
from firmware.cli.redact_planner import live_planner, thorough_planner
from firmware.config.model import ModelCache, default_cache, load_chains
from firmware.core.frames import RedactedFrame, Region, Verdict
from firmware.core.policy import POLICIES, Policy
from firmware.drivers.clip_reader import Clip
from firmware.drivers.clip_writer import write_clip
from firmware.drivers.picture_file import Picture, write_picture
from firmware.errors import OutputError, SourceCorrupt, SourceError, UsageError
from firmware.pipeline.offline import Planner, redacted
from firmware.state import written

T = TypeVar("T")
Regions = dict[str, list[Any]]
"""Of one file: regions by frame number, as the regions file has them."""


def add(verbs: "argparse._SubParsersAction[Any]") -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "redact",
        help="hide people in files",
        description="Hides people in a picture, a clip, or all of a folder. Sound and metadata are left out. "
        "Files that are neither picture nor clip are skipped, never copied.",
        epilog="Exit status: 0 done, 2 wrong use, 31 no such input, 32 an input cannot be read (the others "
        "of a folder are done), 41 no models, 60 the output cannot be written.",
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


@dataclass(slots=True)
class Report:
    """What one run did."""

    skipped: int
    regions: dict[str, Regions] = field(default_factory=dict)
    failed: dict[str, SourceError] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object; counts of files and frames, and one line per failure."""
        return {
            "redacted": sorted(self.regions),
            "frames": sum(len(frames) for frames in self.regions.values()),
            "skipped": self.skipped,
            "failed": {name: str(error) for name, error in self.failed.items()},
        }


class _StopAskedError(Exception):
    """Somebody asked the command to end."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """What it takes to redact one file after another."""

    planner: Planner
    policy: Policy
    threads: int
    stop: threading.Event
    bar: "tqdm[Any]"

    def run(self, jobs: Sequence[Job], report: Report) -> None:
        """Redact every file; one that cannot be read is noted and the others go on."""
        for job in jobs:
            self.bar.set_description(job.name[-40:])
            try:
                report.regions[job.name] = self._clip(job) if job.is_clip else self._picture(job)
            except SourceError as exc:
                report.failed[job.name] = exc
                self.bar.write(f"veilcam: {exc}", file=sys.stderr)

    def _picture(self, job: Job) -> Regions:
        picture = Picture(job.source)
        plan = self.planner(self._counted([picture.frame()]), self.policy)
        (frame,) = redacted([picture.frame()], plan)
        with written(job.target) as part:
            write_picture(part, job.target.suffix, frame, picture.width, picture.height)
        return {"0": _told(frame, picture.width, picture.height)}

    def _clip(self, job: Job) -> Regions:
        clip = Clip(job.source, self.threads)
        begun = identity(job.source)
        self.bar.total = (self.bar.total or 0) + 2 * clip.info.expected
        plan = self.planner(self._counted(clip.frames()), self.policy)
        regions: Regions = {}

        def masked() -> Iterator[RedactedFrame]:
            for frame in redacted(self._counted(clip.frames()), plan):
                regions[str(frame.seq)] = _told(frame, frame.width, frame.height)
                yield frame

        with written(job.target) as part:
            count = write_clip(part, job.target.suffix, clip.info, masked(), self.threads)
            # A plan for other pictures hides nobody: a recorder may put the next clip under the same name.
            if count != len(plan) or identity(job.source) != begun:
                raise SourceCorrupt(f"{job.source}: changed while it was read; run the command again")
        return regions

    def _counted(self, frames: Iterable[T]) -> Iterator[T]:
        for frame in frames:
            if self.stop.is_set():
                raise _StopAskedError
            yield frame
            self.bar.update()


def _told(frame: RedactedFrame, width: int, height: int) -> list[Any]:
    """Return what was hidden in a frame as the regions file has it."""
    return ["all"] if frame.verdict is Verdict.BLIND else [_shape(r, width, height) for r in frame.regions]


def _shape(region: Region, width: int, height: int) -> list[int]:
    seen = region.clipped(width, height)
    return [int(seen.x), int(seen.y), int(seen.w), int(seen.h)]


def handle(args: argparse.Namespace) -> int:
    """Redact, report, and return the exit status of the first failure."""
    jobs, skipped = jobs_of(args.input, args.output)
    if args.regions is not None and args.regions.resolve() in {
        p.resolve() for j in jobs for p in (j.source, j.target)
    }:
        raise UsageError(f"--regions {args.regions}: is an input or an output; give another file")
    report = Report(skipped)
    asyncio.run(_redact(args, jobs, report))
    if args.regions is not None:
        _write_regions(args.regions, report)
    _print(report, as_json=args.json)
    return next((error.exit_code for error in report.failed.values()), 0)


async def _redact(args: argparse.Namespace, jobs: Sequence[Job], report: Report) -> None:
    opens = live_planner if args.pace == "realtime" else thorough_planner
    pictures = sum(not job.is_clip for job in jobs)
    async with AsyncExitStack() as stack:
        planner = await opens(stack, ModelCache(default_cache()), args.chain, args.threads)
        bar = stack.enter_context(tqdm(total=pictures, unit="frame", disable=not sys.stderr.isatty()))
        stop = threading.Event()
        work = Redaction(planner, POLICIES[args.policy], args.threads, stop, bar)
        await _until_done(lambda: work.run(jobs, report), stop)


async def _until_done(work: Callable[[], None], stop: threading.Event) -> None:
    """Run in a thread; when cancelled, have it stop at the next frame and clean up before going on."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait((running,))
        running.exception()  # how it ended is of no interest any more
        raise


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
        f"redacted {len(report.regions)} files, {told['frames']} frames; skipped {report.skipped} that are "
        f"neither picture nor clip; {len(report.failed)} could not be read"
    )
