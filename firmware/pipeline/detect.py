"""Looks for people off the event loop, against a deadline; late, failed or stalled means blind.

A look is one run of every detector over one frame. A failed detector is reopened with back-off. A stalled
one cannot be stopped from outside its thread: its late answer is thrown away, and if it never answers the
stage ends and the process with it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from firmware.core.frames import Detection
from firmware.core.policy import SECOND_NS
from firmware.core.raw import DetectorPicture, RawFrame
from firmware.errors import DetectorFailed, DetectorStalled
from firmware.pipeline.mailbox import Mailbox
from firmware.pipeline.view import detector_picture, in_full, picture_width
from firmware.pipeline.witness import Witness
from firmware.pipeline.worker import Worker
from firmware.ports import Clock, Detector, OpensDetector

logger = logging.getLogger(__name__)

FAILED = "a detector failed and is being opened again"
LATE = "a detector is late"
"""Reasons anybody may read; what exactly failed stands in the log."""

NICENESS = 5
"""Looking gives way to capture and encoding where cores are short."""


@dataclass(frozen=True, slots=True)
class LookOptions:
    """How often and how patiently to look: rate in hertz, times in seconds."""

    rate_hz: float = 10.0
    deadline_s: float = 0.4
    stall_limit_s: float = 15.0
    restarts: int = 8
    restarts_within_s: float = 120.0
    backoff_s: float = 0.25
    backoff_limit_s: float = 8.0


class Detect:
    """The detect stage: takes frames from its mailbox and tells the witness what was seen.

    Detectors of one group run one after the other, groups at the same time: faces beside people.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[OpensDetector]],
        options: LookOptions,
        witness: Witness,
        clock: Clock,
    ) -> None:
        self.frames = Mailbox()
        self.workers = [Worker(f"veilcam-detect-{n}", niceness=NICENESS) for n in range(len(groups))]
        self.looks = 0
        self.restarted = 0
        self._groups = groups
        self._options = options
        self._witness = witness
        self._clock = clock

    async def run(self) -> None:
        """Look until cancelled, reopening detectors that fail.

        Raises:
            DetectorFailed: it failed more often than the limit allows.
            DetectorStalled: a look never came back.
        """
        failures: deque[int] = deque()
        while True:
            try:
                await self._open_and_look()
            except DetectorStalled:
                raise
            except DetectorFailed as exc:
                self._witness.lose(FAILED)
                logger.warning("%s; opening it again", exc)
                await self._back_off(failures, exc)
                self.restarted += 1

    async def _back_off(self, failures: deque[int], cause: DetectorFailed) -> None:
        """Wait, longer with each recent failure; raises DetectorFailed where they are too many."""
        now = self._clock.monotonic_ns()
        failures.append(now)
        while now - failures[0] > self._options.restarts_within_s * SECOND_NS:
            failures.popleft()
        if len(failures) >= self._options.restarts:
            raise DetectorFailed(f"{cause}; gave up after {len(failures)} failures: see the log") from cause
        wait = self._options.backoff_s * 2 ** (len(failures) - 1)
        await asyncio.sleep(min(wait, self._options.backoff_limit_s))

    async def _open_and_look(self) -> None:
        async with AsyncExitStack() as stack:
            groups = [
                [await stack.enter_async_context(opener()) for opener in openers] for openers in self._groups
            ]
            due = self._clock.monotonic_ns()
            while True:
                due = await self._wait_until(due)
                await self._look(await self.frames.take(), groups)

    async def _wait_until(self, due: int) -> int:
        """Sleep until the next look is due; returns when the one after it is."""
        period = int(SECOND_NS / self._options.rate_hz)
        now = self._clock.monotonic_ns()
        if now < due:
            await asyncio.sleep((due - now) / SECOND_NS)
        # A look that took too long does not make the next ones hurry.
        return max(due, now - period) + period

    async def _look(self, frame: RawFrame, groups: Sequence[Sequence[Detector]]) -> None:
        """Look at one frame with every group at once; late, failed or in part means blind."""
        picture = await self._picture(frame, [one for detectors in groups for one in detectors])
        lookings = [
            worker.start(partial(_run, detectors, picture))
            for worker, detectors in zip(self.workers, groups, strict=True)
        ]
        await asyncio.wait(lookings, timeout=self._options.deadline_s, return_when=asyncio.FIRST_EXCEPTION)
        failure = _first_failure(lookings)
        if failure is None and all(looking.done() for looking in lookings):
            found = [one for looking in lookings for one in looking.result()]
            self.looks += 1
            size = frame.planes.width, frame.planes.height
            self._witness.saw(frame.seq, frame.captured_ns, in_full(found, picture, *size))
            return
        self._witness.lose(FAILED if failure else LATE)
        await self._outwait(lookings)
        if failure := failure or _first_failure(lookings):
            raise failure

    async def _picture(self, frame: RawFrame, detectors: Sequence[Detector]) -> DetectorPicture:
        """Cut the detectors' picture out of a frame and give its lease back."""
        width = picture_width(detectors, frame.planes.width, frame.planes.height)
        cutting = self.workers[0].start(lambda: detector_picture(frame, width))
        cutting.add_done_callback(lambda _: frame.release())
        return await cutting

    async def _outwait(self, lookings: "Sequence[asyncio.Future[list[Detection]]]") -> None:
        """Wait for late answers only to throw them away: a thread cannot be stopped from outside."""
        await asyncio.wait(lookings, timeout=self._options.stall_limit_s)
        if not all(looking.done() for looking in lookings):
            raise DetectorStalled(
                f"detector gave no answer for {self._options.stall_limit_s:g} s; restart the camera"
            )


def _run(detectors: Sequence[Detector], picture: DetectorPicture) -> list[Detection]:
    return [found for detector in detectors for found in detector.detect(picture)]


def _first_failure(lookings: "Sequence[asyncio.Future[list[Detection]]]") -> DetectorFailed | None:
    """Return what one of the finished looks raised, as a DetectorFailed."""
    for looking in lookings:
        error = looking.exception() if looking.done() else None
        if error is not None:
            failure = DetectorFailed(f"detector failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            return failure
    return None
