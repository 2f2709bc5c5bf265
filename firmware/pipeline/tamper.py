"""Looks at one frame a second for whether the camera was covered, moved or defocused.

The frame is measured in a thread and given back; what stays of it are the running sums of `core.tampering`.
"""

import asyncio

from firmware.core.raw import RawFrame
from firmware.core.tampering import Measured, Tampering, Watch, measured
from firmware.pipeline.detect import NICENESS
from firmware.pipeline.flow import Flow
from firmware.pipeline.worker import Worker

EVERY_S = 1.0
TAMPER = "tamper"


class Tamper:
    """One stage; `told` is what holds now."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._watch = Watch()

    @property
    def told(self) -> Tampering:
        """What was done to the camera, as far as it shows."""
        return self._watch.told

    async def run(self) -> None:
        """Look until cancelled."""
        async with Worker("veilcam-tamper", niceness=NICENESS) as worker:
            while True:
                # An outlet that stays open would hold a buffer of the camera all the time.
                with self._flow.outlet(TAMPER) as frames:
                    frame = await frames.take()
                self._watch.look(await self._measure(frame, worker))
                await asyncio.sleep(EVERY_S)

    async def _measure(self, frame: RawFrame, worker: Worker) -> Measured:
        luma = (frame.lores or frame.planes).y
        measuring = worker.start(lambda: measured(luma))
        measuring.add_done_callback(lambda _: frame.release())
        return await measuring
