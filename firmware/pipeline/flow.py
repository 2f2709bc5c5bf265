"""Life of a frame: capture → detect → track → hold → mask → encode → released.

    camera ─▶ capture ─┬─▶ [outlet] ─▶ detect ─▶ witness (tracks, verdicts)     once per detector
                       │                              │
                       └─▶ [outlet] ─▶ hold ─▶ mask ◀─╯ ─▶ encode ─▶ released   once per rendition

An outlet holds one frame and lets the newest win. Every stage works on pixels in a thread of its own; an
error in any stage ends the flow.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from firmware.core.frames import Verdict
from firmware.core.policy import TIMING, Policy
from firmware.pipeline.capture import Capture
from firmware.pipeline.detect import OUTLET, Detect
from firmware.pipeline.encode import Rendition
from firmware.pipeline.mailbox import Mailbox
from firmware.pipeline.release import Release, Told
from firmware.pipeline.view import Cutter
from firmware.pipeline.witness import Follows, Witness
from firmware.ports import Camera, Clock

CAMERA = "camera"
RELEASE = "release"


@dataclass(frozen=True, slots=True)
class FlowReport:
    """How the flow is at one moment: counts since the start, rates and latencies of the last ten seconds."""

    verdict: Verdict
    reason: str
    released: Mapping[Verdict, int]
    released_fps: float
    last_release_ns: int | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    looks: Mapping[str, int]
    """By detector."""
    restarts: int
    dropped: Mapping[str, int]
    """Frames that newer ones displaced, by stage; of the camera those that could not be decoded."""
    cpu_ns: Mapping[str, int]
    """By stage."""

    @property
    def frames(self) -> int:
        """Frames released, whatever their verdict."""
        return sum(self.released.values())


class Flow:
    """One camera's pipeline, made of what it is given; `released` is told of everything that leaves."""

    def __init__(
        self,
        camera: Camera,
        detects: Sequence[Detect],
        renditions: Sequence[Rendition],
        released: Told,
        policy: Policy,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._capture = Capture(camera)
        self._detects = detects
        self._witness = Witness(policy, {detect.source: detect.finds for detect in detects}, TIMING)
        self._release = Release(renditions, released, self._witness, TIMING, clock)

    async def run(self) -> None:
        """Run every stage; returns never, and ends with the first stage that does.

        Raises:
            ExceptionGroup: of the VeilcamErrors that ended stages.
        """
        cutter = Cutter()
        with self.outlet(RELEASE) as frames:
            async with asyncio.TaskGroup() as stages:
                stages.create_task(self._capture.run())
                for detect in self._detects:
                    stages.create_task(detect.run(self._capture, cutter, self._witness))
                stages.create_task(self._release.run(frames))

    def use(self, policy: Policy) -> None:
        """Hide by another policy from the next frame on."""
        self._witness.use(policy)

    def watch(self, told: Follows) -> None:
        """Have somebody told of the people that are followed, look by look."""
        self._witness.watch(told)

    def keep(self, frames: int) -> None:
        """Hold back at least so many frames from the next one on."""
        self._release.keep(frames)

    def outlet(self, name: str) -> AbstractContextManager[Mailbox]:
        """Take raw frames for the length of the block, while the flow runs."""
        return self._capture.outlet(name)

    def report(self) -> FlowReport:
        """Return how the flow is now."""
        measure = self._release.measure
        some = measure.released > 0
        dropped = self._capture.dropped
        return FlowReport(
            verdict=measure.verdict,
            reason=self._witness.reason,
            released=dict(measure.verdicts),
            released_fps=measure.fps(self._clock.monotonic_ns()),
            last_release_ns=measure.released_at_ns[-1] if some else None,
            latency_p50_ms=measure.latency_ms(0.5) if some else None,
            latency_p95_ms=measure.latency_ms(0.95) if some else None,
            looks={detect.source: detect.looks for detect in self._detects},
            restarts=sum(detect.restarted for detect in self._detects),
            dropped={
                CAMERA: self._capture.skipped,
                **{name: dropped[name] for name in (OUTLET, RELEASE)},
            },
            cpu_ns={
                CAMERA: self._capture.cpu_ns,
                "detect": sum(detect.cpu_ns for detect in self._detects),
                "mask": measure.mask_cpu_ns,
                "encode": measure.encode_cpu_ns,
            },
        )
