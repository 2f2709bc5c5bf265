"""Holds each frame until what is known about it is settled, then judges, masks and encodes it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from firmware.core.frames import Judgement, Released
from firmware.core.policy import Timing
from firmware.core.raw import RawFrame
from firmware.pipeline.encode import Rendition
from firmware.pipeline.hold import Hold
from firmware.pipeline.mailbox import Mailbox
from firmware.pipeline.mask import Masker
from firmware.pipeline.measure import Measure
from firmware.pipeline.witness import Witness
from firmware.pipeline.worker import Worker
from firmware.ports import Clock

Told = Callable[[Released], None]
"""Is told of every packet that leaves, on the event loop, and never blocks."""


class Release:
    """The last stage: a frame is masked once and encoded by every rendition."""

    def __init__(
        self,
        renditions: Sequence[Rendition],
        released: Told,
        witness: Witness,
        timing: Timing,
        clock: Clock,
    ) -> None:
        self.measure = Measure()
        self._renditions = renditions
        self._released = released
        self._witness = witness
        self._clock = clock
        self._masker = Masker()
        self._hold = Hold(timing.hold_frames, timing.hold_limit)

    def keep(self, least: int) -> None:
        """Hold back at least so many frames from now on."""
        self._hold.keep(least)

    async def run(self, frames: Mailbox) -> None:
        """Release frames until cancelled; raises EncoderFailed."""
        hold = self._hold
        try:
            async with Worker("veilcam-release") as worker:
                while True:
                    for held in hold.push(await frames.take(), self._witness.settled):
                        await self._let_go(held, worker)
        finally:
            hold.close()

    async def _let_go(self, frame: RawFrame, worker: Worker) -> None:
        judgement = self._witness.judge(frame)
        working = worker.start(lambda: self._work(frame, judgement))
        working.add_done_callback(lambda _: frame.release())
        await asyncio.wait((working,))
        told = working.result()
        if told:
            self.measure.release(judgement.verdict, frame.captured_ns, self._clock.monotonic_ns())
        for one in told:
            self._released(one)

    def _work(self, frame: RawFrame, judgement: Judgement) -> list[Released]:
        """Mask and encode, in the release thread."""
        begun = time.thread_time_ns()
        redacted = self._masker.mask(frame, judgement.regions, judgement.verdict)
        masked = time.thread_time_ns()
        packets = [(rendition.name, rendition.encode(redacted)) for rendition in self._renditions]
        self.measure.worked(masked - begun, time.thread_time_ns() - masked)
        hidden = replace(judgement, regions=redacted.regions)
        return [Released(name, packet, hidden) for name, packet in packets if packet is not None]
