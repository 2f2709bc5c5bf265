"""One redacted picture for whoever asks: a rendition that gives nothing until then."""

import asyncio

import cv2
import numpy as np

from firmware.core.frames import Packet, Plane, Redacted, RedactedFrame

LONGEST_SIDE = 640
QUALITIES = (80, 60, 40, 25)
MOST_BYTES = 40 * 1024
MOST_WAITING = 4


class Snapshots:
    """Hands the next frame to those who wait; `encode` runs in the release thread, `take` on the loop."""

    name = "snapshot"

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[RedactedFrame]] = []

    def encode(self, frame: RedactedFrame) -> Packet[Redacted] | None:
        """Hand a frame over; never a packet."""
        if self._waiting:
            self._loop.call_soon_threadsafe(self._give, frame)
        return None

    async def take(self) -> bytes:
        """Return the next redacted picture as a JPEG of 40 KiB at most.

        Raises:
            ValueError: too many wait already.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise ValueError("too many pictures are asked for")
        waiter: asyncio.Future[RedactedFrame] = self._loop.create_future()
        self._waiting.append(waiter)
        try:
            frame = await waiter
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
        return await asyncio.to_thread(_jpeg, frame.i420)

    def _give(self, frame: RedactedFrame) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(frame)


def _jpeg(i420: Plane) -> bytes:
    """Return I420 (h * 3 / 2, w) as a JPEG, smaller and coarser until it fits."""
    bgr = cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420)
    height, width = bgr.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    while True:
        size = (max(2, round(width * scale)), max(2, round(height * scale)))
        small = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
        for quality in QUALITIES:
            content = bytes(np.asarray(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]))
            if len(content) <= MOST_BYTES:
                return content
        scale /= 2
