"""Looks for people off the event loop, against a deadline; late, failed or stalled means blind.

A look is one run of every detector over one frame. A failed detector is reopened with back-off. A stalled
one cannot be stopped from outside its thread: its late answer is thrown away, and if it never answers the
stage ends and the process with it.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from firmware.core.frames import Detection
from firmware.core.policy import SECOND_NS
from firmware.core.raw import RawFrame
from firmware.errors import DetectorFailed, DetectorStalled
from firmware.pipeline.mailbox import Mailbox
from firmware.pipeline.view import detector_picture
from firmware.pipeline.witness import Witness
from firmware.pipeline.worker import Worker
from firmware.ports import Clock, Detector, OpensDetector


@dataclass(frozen=True, slots=True)
class LookOptions:
    """How often and how patiently to look: rate in hertz, times in seconds, picture width in pixels."""

    rate_hz: float = 10.0
    deadline_s: float = 0.4
    stall_limit_s: float = 15.0
    picture_width: int = 640
    restarts: int = 8
    restarts_within_s: float = 120.0
    backoff_s: float = 0.25
    backoff_limit_s: float = 8.0


class Detect:
    """The detect stage: takes frames from its mailbox and tells the witness what was seen."""

    def __init__(
        self,
        openers: Sequence[OpensDetector],
        options: LookOptions,
        witness: Witness,
        worker: Worker,
        clock: Clock,
    ) -> None:
        self.frames = Mailbox()
        self.looks = 0
        self.restarted = 0
        self._openers = openers
        self._options = options
        self._witness = witness
        self._worker = worker
        self._clock = clock

    async def run(self) -> None:
        """Look until cancelled, reopening detectors that fail.

        Raises:
            DetectorFailed: it failed more often than the limit allows.
            DetectorStalled: a look never came back.
        """
        failures: deque[int] = deque(maxlen=self._options.restarts)
        while True:
            try:
                await self._open_and_look()
            except DetectorStalled:
                raise
            except DetectorFailed as exc:
                self._witness.lose(str(exc))
                await self._back_off(failures, exc)
                self.restarted += 1

    async def _back_off(self, failures: deque[int], cause: DetectorFailed) -> None:
        now = self._clock.monotonic_ns()
        failures.append(now)
        span = self._options.restarts_within_s * SECOND_NS
        if len(failures) == failures.maxlen and now - failures[0] < span:
            raise DetectorFailed(f"{cause}; gave up after {len(failures)} restarts: see the log") from cause
        wait = self._options.backoff_s * 2 ** (len(failures) - 1)
        await asyncio.sleep(min(wait, self._options.backoff_limit_s))

    async def _open_and_look(self) -> None:
        async with AsyncExitStack() as stack:
            detectors = [await stack.enter_async_context(opener()) for opener in self._openers]
            due = self._clock.monotonic_ns()
            while True:
                due = await self._wait_until(due)
                frame = await self.frames.take()
                await self._look(frame, detectors)

    async def _wait_until(self, due: int) -> int:
        """Sleep until the next look is due; returns when the one after it is."""
        period = int(SECOND_NS / self._options.rate_hz)
        now = self._clock.monotonic_ns()
        if now < due:
            await asyncio.sleep((due - now) / SECOND_NS)
        # A look that took too long does not make the next ones hurry.
        return max(due, now - period) + period

    async def _look(self, frame: RawFrame, detectors: Sequence[Detector]) -> None:
        """Look at one frame; its lease is given back once no thread reads it."""
        looking = self._worker.start(lambda: self._run(frame, detectors))
        looking.add_done_callback(lambda _: frame.release())
        await asyncio.wait((looking,), timeout=self._options.deadline_s)
        if not looking.done():
            await self._late(looking)
            return
        error = looking.exception()
        if error is not None:
            raise DetectorFailed(f"detector failed: {type(error).__name__}: {error}") from error
        self.looks += 1
        self._witness.saw(frame.seq, frame.captured_ns, looking.result())

    async def _late(self, looking: "asyncio.Future[list[Detection]]") -> None:
        """Go blind, then wait for the late answer only to throw it away."""
        self._witness.lose(f"detector is late: no answer within {self._options.deadline_s:g} s")
        await asyncio.wait((looking,), timeout=self._options.stall_limit_s)
        if not looking.done():
            raise DetectorStalled(
                f"detector gave no answer for {self._options.stall_limit_s:g} s; restart the camera"
            )
        error = looking.exception()
        if error is not None:
            raise DetectorFailed(f"detector failed: {type(error).__name__}: {error}") from error

    def _run(self, frame: RawFrame, detectors: Sequence[Detector]) -> list[Detection]:
        """Run every detector on the small picture; boxes come back in pixels of the full one."""
        picture = detector_picture(frame, self._options.picture_width)
        sx = frame.planes.width / picture.bgr.shape[1]
        sy = frame.planes.height / picture.bgr.shape[0]
        return [
            Detection(found.kind, found.box.scaled(sx, sy), found.score)
            for detector in detectors
            for found in detector.detect(picture)
        ]
