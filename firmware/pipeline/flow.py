"""Life of a frame: capture → detect → track → hold → mask → encode → sink.

    camera ─▶ capture ─┬─▶ [mailbox] ─▶ detect ─▶ witness (tracks, verdicts)
                       │                              │
                       └─▶ [mailbox] ─▶ hold ─▶ mask ◀╯ ─▶ encode ─▶ sink

Both mailboxes hold one frame and let the newest win. Every stage runs its pixels in a thread of its own; an
error in any stage ends the flow.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from firmware.core.frames import Packet, Redacted, Region, Verdict
from firmware.core.policy import Policy
from firmware.core.raw import RawFrame
from firmware.pipeline.capture import capture
from firmware.pipeline.detect import Detect, LookOptions
from firmware.pipeline.encode import RedactedRendition
from firmware.pipeline.hold import Hold
from firmware.pipeline.mailbox import Mailbox
from firmware.pipeline.mask import Masker
from firmware.pipeline.measure import Measure
from firmware.pipeline.witness import Witness
from firmware.pipeline.worker import Worker
from firmware.ports import Camera, Clock, OpensDetector

Sink = Callable[[Packet[Redacted]], None]
"""Takes packets on the event loop and never blocks."""


class Flow:
    """One camera's pipeline; enter it, run its stages in the application's task group."""

    def __init__(
        self,
        camera: Camera,
        detectors: Sequence[Sequence[OpensDetector]],
        rendition: RedactedRendition,
        sink: Sink,
        policy: Policy,
        look: LookOptions,
        clock: Clock,
    ) -> None:
        self.measure = Measure()
        self.witness = Witness(policy)
        self.capture_worker, self.release_worker = Worker("veilcam-capture"), Worker("veilcam-release")
        self.detect = Detect(detectors, look, self.witness, clock)
        self.rendition = rendition
        self.frames = Mailbox()
        self.camera_info = camera.info
        self._camera = camera
        self._sink = sink
        self._clock = clock
        self._hold = Hold(policy.hold_frames, policy.hold_limit)
        self._masker = Masker()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for worker in (self.capture_worker, self.release_worker, *self.detect.workers):
            await self._open.enter_async_context(worker)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._open.aclose()
        self.detect.frames.close()
        self.frames.close()
        self._hold.close()

    def stages(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return what has to run, one coroutine per stage; none of them returns."""
        return (
            capture(self._camera, self.capture_worker, self.detect.frames, self.frames),
            self.detect.run(),
            self._release(),
        )

    async def _release(self) -> None:
        """Hold each frame; judge, mask and encode those that are due and hand on what comes out."""
        while True:
            for held in self._hold.push(await self.frames.take(), self.witness.settled):
                verdict, regions = self.witness.judge(held)
                packet = await self._mask_and_encode(held, verdict, regions)
                if packet is not None:
                    self.measure.release(verdict, held.captured_ns, self._clock.monotonic_ns())
                    self._sink(packet)

    async def _mask_and_encode(
        self, frame: RawFrame, verdict: Verdict, regions: Sequence[Region]
    ) -> Packet[Redacted] | None:
        working = self.release_worker.start(lambda: self._work(frame, verdict, regions))
        working.add_done_callback(lambda _: frame.release())
        await asyncio.wait((working,))
        return working.result()

    def _work(self, frame: RawFrame, verdict: Verdict, regions: Sequence[Region]) -> Packet[Redacted] | None:
        begun = time.thread_time_ns()
        redacted = self._masker.mask(frame, regions, verdict)
        masked = time.thread_time_ns()
        packet = self.rendition.encode(redacted)
        self.measure.mask_cpu_ns += masked - begun
        self.measure.encode_cpu_ns += time.thread_time_ns() - masked
        return packet
