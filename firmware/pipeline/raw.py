"""The raw rendition: its own encoder, which is there only while somebody holds a live grant.

... ─▶ [outlet "raw"] ─▶ encode ─▶ raw packets          opened by the first grant, closed after the last
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Protocol, TypeAlias

from firmware.core.frames import Packet, Raw
from firmware.core.nal import picture_alone
from firmware.core.raw import RawFrame
from firmware.fanout import Fanout
from firmware.pipeline.flow import Flow
from firmware.pipeline.mailbox import Mailbox
from firmware.pipeline.worker import Worker
from firmware.ports import Encoder

RAW = "raw"

OpensRaw: TypeAlias = Callable[[], AbstractAsyncContextManager[Encoder]]


class Wanted(Protocol):
    """Says whether anybody may see the raw picture."""

    async def some(self) -> None:
        """Wait until somebody may."""
        ...

    async def none(self) -> None:
        """Wait until nobody may."""
        ...


class RawRendition:
    """One stage that is idle, without an encoder and without a frame, until a grant lives."""

    def __init__(self, flow: Flow, opens: OpensRaw, wanted: Wanted) -> None:
        self.is_open = False
        self.fanout = Fanout(Raw, self.want_keyframe)
        self._flow = flow
        self._opens = opens
        self._wanted = wanted
        self._keyframes_wanted = 1
        self._keyframes_seen_to = 0

    def want_keyframe(self) -> None:
        """Make the next picture a keyframe."""
        self._keyframes_wanted += 1

    async def run(self) -> None:
        """Encode while a grant lives, for ever; raises EncoderFailed."""
        while True:
            await self._wanted.some()
            async with self._opens() as encoder, Worker("veilcam-raw") as worker:
                self.is_open = True
                try:
                    with self._flow.outlet(RAW) as frames:
                        await self._while_wanted(encoder, worker, frames)
                finally:
                    self.is_open = False

    async def _while_wanted(self, encoder: Encoder, worker: Worker, frames: Mailbox) -> None:
        async with asyncio.TaskGroup() as tasks:
            encoding = tasks.create_task(self._encode_all(encoder, worker, frames))
            await self._wanted.none()
            encoding.cancel()

    async def _encode_all(self, encoder: Encoder, worker: Worker, frames: Mailbox) -> None:
        while True:
            frame = await frames.take()
            working = worker.start(partial(self._encode, encoder, frame))
            working.add_done_callback(partial(_release, frame))
            # Not cancelled with this task: the encoder is closed once the thread has let go of it.
            await asyncio.wait((working,))
            packet = working.result()
            if packet is not None:
                self.fanout.publish(packet)

    def _encode(self, encoder: Encoder, frame: RawFrame) -> Packet[Raw] | None:
        """Encode one frame, in the thread; None while the encoder has nothing to give."""
        wanted = self._keyframes_wanted
        keyframe = wanted != self._keyframes_seen_to
        self._keyframes_seen_to = wanted
        picture = encoder.encode(frame.planes, frame.captured_ns, keyframe=keyframe)
        if picture is None:
            return None
        return Packet(picture_alone(picture.data), picture.keyframe, frame.captured_ns, frame.seq, Raw)


def _release(frame: RawFrame, _: object) -> None:
    frame.release()
