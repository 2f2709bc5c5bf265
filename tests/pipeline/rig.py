"""A flow over doubles, and what it released."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from firmware.core.frames import Kind, Released, Verdict
from firmware.core.policy import PEOPLE, Policy
from firmware.pipeline.detect import Detect, LookOptions
from firmware.pipeline.encode import RedactedRendition
from firmware.pipeline.flow import Flow
from firmware.ports import SystemClock
from tests.pipeline.doubles import FACE, KeepingEncoder, NumberedCamera, ToldDetector, believed, shows

LOOK = LookOptions(
    rate_hz=50, deadline_s=0.15, stall_limit_s=5, restarts=1000, backoff_s=0.01, backoff_limit_s=0.05
)
EVERYTHING = frozenset(Kind)


class Rig:
    """One flow over doubles: a camera, a detector as told and a quiet one, and what was released."""

    def __init__(
        self,
        detector: ToldDetector,
        camera: NumberedCamera,
        look: LookOptions = LOOK,
        *,
        policy: Policy = PEOPLE,
        finds: frozenset[Kind] = EVERYTHING,
        others: Mapping[str, tuple[ToldDetector, LookOptions, frozenset[Kind]]] | None = None,
    ) -> None:
        self.camera, self.detector = camera, detector
        self.encoder = KeepingEncoder()
        self.rendition = RedactedRendition(self.encoder)
        self.told: list[Released] = []
        clock = SystemClock()
        if others is None:
            others = {"other": (ToldDetector(), look, EVERYTHING)}
        self.detects = {"one": Detect("one", finds, detector, believed, look, clock)}
        for name, (other, options, kinds) in others.items():
            self.detects[name] = Detect(name, kinds, other, believed, options, clock)
        self.flow = Flow(
            camera, list(self.detects.values()), [self.rendition], self.told.append, policy, clock
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the flow for the length of the block."""
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.flow.run())
            yield
            running.cancel()

    async def until(self, met: Callable[[], bool], seconds: float = 20) -> None:
        """Wait until something is so; fails after a generous time."""
        async with asyncio.timeout(seconds):
            while not met():
                await asyncio.sleep(0.005)

    @property
    def verdicts(self) -> Counter[Verdict]:
        """What was released so far, by verdict."""
        return Counter(told.judgement.verdict for told in self.told)

    def last(self, verdict: Verdict) -> bool:
        """Tell whether what was released last has this verdict."""
        return bool(self.told) and self.told[-1].judgement.verdict is verdict

    def clear_frames(self) -> list[int]:
        """Return the capture times of pictures in which the face shows."""
        return [at for at, i420 in self.encoder.pictures if shows(i420, FACE)]
