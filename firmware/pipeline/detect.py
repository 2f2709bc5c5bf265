"""Looks for people off the event loop, against a deadline; late, failed or stalled means blind.

Every detector is a stage of its own: its rate, its deadline, its failures and restarts touch no other. Which
frame is looked at depends on when it was captured alone, so detectors of one rate look at the same frames. A
failed detector is reopened with back-off. A stalled one cannot be stopped from outside its thread: its late
answer is thrown away, and if it never answers the stage ends and the process with it. One that does not find
a known face is a failed one.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

from firmware.core.frames import Kind
from firmware.core.policy import SECOND_NS
from firmware.core.raw import DetectorPicture, RawFrame
from firmware.errors import DetectorFailed, DetectorStalled
from firmware.pipeline.capture import Capture
from firmware.pipeline.mailbox import Mailbox
from firmware.pipeline.view import Cutter, look
from firmware.pipeline.witness import Witness
from firmware.pipeline.worker import Worker
from firmware.ports import Clock, Detector, OpensDetector

T = TypeVar("T")
Prove = Callable[[Detector, Collection[Kind]], None]
"""Shows a detector something that it must find; raises DetectorFailed. Runs in the detector's thread."""

logger = logging.getLogger(__name__)

FAILED = "a detector failed and is being opened again"
LATE = "a detector is late"
"""Reasons anybody may read; what exactly failed stands in the log."""

NICENESS = 5
"""Looking gives way to capture and encoding where cores are short."""

OUTLET = "detect"


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
    proof_every_s: float = 120.0
    """How often a detector has to find what is known."""


class Detect:
    """One detector's stage: takes frames and tells the witness what was seen in them.

    `source` names it among the detectors of one flow; `finds` is what it can find, and `prove` holds it to
    that.
    """

    def __init__(
        self,
        source: str,
        finds: frozenset[Kind],
        opens: OpensDetector,
        prove: Prove,
        options: LookOptions,
        clock: Clock,
    ) -> None:
        self.source = source
        self.finds = finds
        self.looks = 0
        self.restarted = 0
        self.cpu_ns = 0
        self._opens = opens
        self._proves = prove
        self._proof_due_ns = 0
        self._options = options
        self._clock = clock
        self._slot = -1

    async def run(self, capture: Capture, cutter: Cutter, witness: Witness) -> None:
        """Look until cancelled, reopening a detector that fails.

        Raises:
            DetectorFailed: it failed more often than the limit allows.
            DetectorStalled: a look never came back.
        """
        failures: deque[int] = deque()
        with capture.outlet(OUTLET) as frames:
            while True:
                try:
                    await self._open_and_look(frames, cutter, witness)
                except DetectorStalled:
                    raise
                except DetectorFailed as exc:
                    witness.lose(self.source, FAILED)
                    logger.warning("%s: %s; opening it again", self.source, exc)
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

    async def _open_and_look(self, frames: Mailbox, cutter: Cutter, witness: Witness) -> None:
        name = f"veilcam-detect-{self.source}"
        async with self._opens() as detector, Worker(name, niceness=NICENESS) as worker:
            self._proof_due_ns = 0
            while True:
                await self._prove(detector, worker)
                frame = await frames.take()
                if self._is_due(frame):
                    await self._look(frame, detector, worker, cutter, witness)
                else:
                    frame.release()

    async def _prove(self, detector: Detector, worker: Worker) -> None:
        """Show the known face where it is due; raises DetectorFailed where it is not found."""
        now = self._clock.monotonic_ns()
        if now < self._proof_due_ns:
            return
        self._proof_due_ns = now + round(self._options.proof_every_s * SECOND_NS)
        proving = worker.start(lambda: self._proves(detector, self.finds))
        await self._outwait(proving)
        _answer(proving)

    def _is_due(self, frame: RawFrame) -> bool:
        """Tell whether this is the first frame of its slot of time; a late look makes no later one hurry.

        What was seen in a frame of no known time could not be placed.
        """
        if frame.timeline is None:
            return False
        slot = int(frame.captured_ns * self._options.rate_hz) // SECOND_NS
        due = slot != self._slot
        self._slot = slot
        return due

    async def _look(
        self, frame: RawFrame, detector: Detector, worker: Worker, cutter: Cutter, witness: Witness
    ) -> None:
        """Look at one frame; late or failed means blind."""
        before = worker.cpu_ns
        pictures = await self._pictures(frame, detector, worker, cutter)
        looking = worker.start(lambda: look(detector, pictures))
        await asyncio.wait((looking,), timeout=self._options.deadline_s)
        self.cpu_ns += worker.cpu_ns - before
        if not looking.done():
            witness.lose(self.source, LATE)
            await self._outwait(looking)
            _answer(looking)
            return
        found = _answer(looking)
        self.looks += 1
        # Off the loop, like all that grows with how much is found: a crowd must not hold up the stream.
        following = worker.start(lambda: witness.followed(self.source, pictures[0].moment, found))
        witness.take(await following)

    async def _pictures(
        self, frame: RawFrame, detector: Detector, worker: Worker, cutter: Cutter
    ) -> list[DetectorPicture]:
        """Cut the detector's pictures out of a frame and give its lease back."""
        cutting = worker.start(lambda: cutter.cut(frame, detector))
        cutting.add_done_callback(lambda _: frame.release())
        return await cutting

    async def _outwait(self, looking: "asyncio.Future[Any]") -> None:
        """Wait for a late answer: a thread cannot be stopped from outside."""
        await asyncio.wait((looking,), timeout=self._options.stall_limit_s)
        if not looking.done():
            raise DetectorStalled(
                f"detector {self.source} gave no answer for {self._options.stall_limit_s:g} s; "
                "restart the camera"
            )


def _answer(looking: "asyncio.Future[T]") -> T:
    """Return what a finished call gave; raises DetectorFailed, whatever it raised."""
    error = looking.exception()
    if error is None:
        return looking.result()
    if isinstance(error, DetectorFailed):
        raise error
    raise DetectorFailed(f"detector failed: {type(error).__name__}: {error}") from error
