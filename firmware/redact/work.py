"""Redacts one file after another: a first pass plans, a second one masks and writes."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from firmware.config.model import ModelCache
from firmware.core.frames import RedactedFrame, Region, Verdict
from firmware.core.policy import Policy
from firmware.errors import SourceCorrupt, SourceError
from firmware.redact.clip_reader import Clip
from firmware.redact.clip_writer import write_clip
from firmware.redact.files import Job, identity
from firmware.redact.picture import Picture, write_picture
from firmware.redact.plan import Planner, redacted
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

    def failed(self, error: SourceError) -> None:
        """A file could not be read."""
        ...


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
    watcher: Watcher

    def run(self, jobs: Sequence[Job], report: Report) -> None:
        """Redact every file; one that cannot be read is noted and the others go on."""
        for folder in {job.target.parent for job in jobs}:
            tidy(folder)
        for job in jobs:
            self.watcher.file(job.name)
            try:
                report.regions[job.name] = self._clip(job) if job.is_clip else self._picture(job)
            except SourceError as exc:
                report.failed[job.name] = exc
                self.watcher.failed(exc)

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
        self.watcher.expect(2 * clip.info.expected)
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
            self.watcher.step()


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
        work = Redaction(planner, manner.policy, manner.threads, stop, watcher)
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
