"""Redacts one file after another: a first pass plans, a second one masks and writes."""

import asyncio
import errno
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from firmware.config.model import ModelCache
from firmware.core.frames import RedactedFrame, Region, Verdict
from firmware.core.policy import Policy
from firmware.core.raw import RawFrame
from firmware.errors import OutputError, SourceCorrupt, SourceError, UsageError, VeilcamError
from firmware.redact.clip_reader import Clip
from firmware.redact.clip_writer import write_clip
from firmware.redact.files import OTHER, Job, identity
from firmware.redact.picture import Picture, write_picture
from firmware.redact.plan import Plan, Planner, redacted
from firmware.redact.planner import live_planner, thorough_planner
from firmware.state import tidy, written

T = TypeVar("T")
Regions = dict[str, list[Any]]
"""Of one file: regions by frame number, as the regions file has them."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How to redact: as the camera does or thoroughly, by which policy and chain, in how many threads."""

    realtime: bool
    policy: Policy
    chain: str
    threads: int


class Watcher(Protocol):
    """Is told how far the work is; called in the thread that works."""

    def file(self, name: str) -> None:
        """Work on a file begins."""
        ...

    def expect(self, steps: int) -> None:
        """So many steps are to come in addition."""
        ...

    def step(self) -> None:
        """One step is done."""
        ...

    def told(self, line: str) -> None:
        """Something about a file that whoever asked for it should know."""
        ...


@dataclass(slots=True)
class Report:
    """What one run did, by the names of files; why, for what was left out, failed or is incomplete."""

    left_out: dict[str, str]
    regions: dict[str, Regions] = field(default_factory=dict)
    failed: dict[str, VeilcamError] = field(default_factory=dict)
    incomplete: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 where all media are redacted, whole; else the first failure's, or that of bad input."""
        for error in self.failed.values():
            return error.exit_code
        missing = self.incomplete or any(why != OTHER for why in self.left_out.values())
        return SourceCorrupt.exit_code if missing else 0

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object; counts of files and frames, and why something is not redacted."""
        return {
            "redacted": sorted(self.regions),
            "frames": sum(len(frames) for frames in self.regions.values()),
            "skipped": len(self.left_out),
            "left_out": self.left_out,
            "incomplete": self.incomplete,
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
    watcher: Watcher
    taken: frozenset[Path]
    """Every input, and every output that an input has."""

    def run(self, jobs: Sequence[Job], report: Report) -> None:
        """Redact every file; one that cannot be read or written is noted, and the others go on.

        Raises:
            OutputError: nothing more can be written: the disk is full.
        """
        for folder in {job.target.parent for job in jobs}:
            tidy(folder)
        for job in jobs:
            self._file(job, report)

    def _file(self, job: Job, report: Report) -> None:
        self.watcher.file(job.name)
        try:
            if job.is_clip:
                self._clip(job, report)
            else:
                report.regions[job.name] = self._picture(job)
        except (SourceError, OutputError) as exc:
            if _is_full(exc):
                raise
            report.failed[job.name] = exc
            self.watcher.told(str(exc))

    def _picture(self, job: Job) -> Regions:
        picture = Picture(job.source)
        self.watcher.expect(2 * picture.count - 1)
        plan = self.planner(self._counted(picture.frames()), self.policy)
        regions: Regions = {}
        with written(job.target) as part:
            frames = self._masked(picture.frames(), plan, regions, (picture.width, picture.height))
            count = write_picture(part, job.target.suffix, picture, frames)
            if count != len(plan):
                raise SourceCorrupt(
                    f"{job.source}: holds another number of pictures than it says; copy it again"
                )
        return regions

    def _clip(self, job: Job, report: Report) -> None:
        clip = Clip(job.source, self.threads, job.film)
        begun = identity(job.source)
        self.watcher.expect(2 * clip.info.expected)
        plan = self.planner(self._counted(clip.frames()), self.policy)
        regions: Regions = {}
        with written(job.target) as part:
            frames = self._masked(clip.frames(), plan, regions, (clip.info.width, clip.info.height))
            count = write_clip(part, job.target.suffix, clip.info, frames, lambda: clip.tail_ns, self.threads)
            # A plan for other pictures hides nobody: a recorder may put the next clip under the same name.
            if count != len(plan) or identity(job.source) != begun:
                raise SourceCorrupt(f"{job.source}: changed while it was read; run the command again")
        report.regions[job.name] = regions
        self._tell(job, clip, report)

    def _tell(self, job: Job, clip: Clip, report: Report) -> None:
        """Say what of a clip is not in the output, and redact its further films into files beside it."""
        if clip.lost:
            report.incomplete[job.name] = clip.lost
            self.watcher.told(f"{job.source}: {clip.lost}; what there was is redacted; copy it again")
        if job.film is not None:
            return
        for words in clip.left_out:
            self.watcher.told(f"{job.source}: {words}, and is left out")
        for film in clip.further:
            further = job.of_film(film)
            if further.target.resolve() in self.taken:
                error = UsageError(
                    f"{further.target}: is another file's, and a further film would go there; rename it"
                )
                report.failed[further.name] = error
                self.watcher.told(str(error))
                continue
            self.watcher.told(
                f"{job.source}: holds a further film (stream {film}): redacted as {further.target.name}"
            )
            self._file(further, report)

    def _masked(
        self, frames: Iterable[RawFrame], plan: Plan, regions: Regions, size: tuple[int, int]
    ) -> Iterator[RedactedFrame]:
        for frame in redacted(self._counted(frames), plan):
            regions[str(frame.seq)] = _told(frame, *size)
            yield frame

    def _counted(self, frames: Iterable[T]) -> Iterator[T]:
        for frame in frames:
            if self.stop.is_set():
                raise _StopAskedError
            yield frame
            self.watcher.step()


def _is_full(error: VeilcamError) -> bool:
    """Say whether nothing more can be written to the disk, whatever the file."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def _told(frame: RedactedFrame, width: int, height: int) -> list[Any]:
    """Return what was hidden in a frame as the regions file has it."""
    return ["all"] if frame.verdict is Verdict.BLIND else [_shape(r, width, height) for r in frame.regions]


def _shape(region: Region, width: int, height: int) -> list[int]:
    seen = region.clipped(width, height)
    return [int(seen.x), int(seen.y), int(seen.w), int(seen.h)]


async def redact(
    manner: Manner, cache: ModelCache, jobs: Sequence[Job], report: Report, watcher: Watcher
) -> None:
    """Redact every file; cancelled, it stops at the next frame and leaves no half-written file.

    Raises:
        ModelError: the models are not there, or not what they should be.
        OutputError: an output cannot be written.
    """
    opens = live_planner if manner.realtime else thorough_planner
    async with AsyncExitStack() as stack:
        planner = await opens(stack, cache, manner.chain, manner.threads)
        watcher.expect(sum(not job.is_clip for job in jobs))
        stop = threading.Event()
        taken = await asyncio.to_thread(
            lambda: frozenset(path.resolve() for job in jobs for path in (job.source, job.target))
        )
        work = Redaction(planner, manner.policy, manner.threads, stop, watcher, taken)
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
