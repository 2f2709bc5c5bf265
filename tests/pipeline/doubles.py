"""Doubles that satisfy the ports: a camera of numbered frames, a detector that does as told, an encoder."""

import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import numpy as np

from firmware.core.cuts import Sight
from firmware.core.frames import Detection, Kind, Plane, Planes
from firmware.core.geometry import Box
from firmware.core.raw import DetectorPicture, RawFrame
from firmware.errors import EndOfSource
from firmware.ports import CameraInfo, Detector, EncodedPicture

WIDTH, HEIGHT = 320, 192
CLEAR = 200
"""Luma of every clear pixel; the fill is darker."""

FACE = Box(100, 60, 40, 40)


class NumberedCamera:
    """Delivers `count` clear frames, evenly spaced, then ends; keeps the account of leases."""

    def __init__(self, count: int = 10_000, fps: float = 100.0) -> None:
        self.info = CameraInfo(WIDTH, HEIGHT, fps, "numbered frames")
        self.threads: set[str] = set()
        self.leased = 0
        self.most_leased = 0
        self._left = count
        self._seq = 0

    def capture(self) -> RawFrame:
        """Wait one period and hand out a frame."""
        self.threads.add(threading.current_thread().name)
        time.sleep(1 / self.info.fps)
        if self._left == 0:
            raise EndOfSource("no more frames")
        self._left -= 1
        i420 = np.full((HEIGHT * 3 // 2, WIDTH), CLEAR, np.uint8)
        seq, self._seq = self._seq, self._seq + 1
        self.leased += 1
        self.most_leased = max(self.most_leased, self.leased)
        return RawFrame(Planes.of(i420), time.monotonic_ns(), seq, on_release=self._released)

    def _released(self) -> None:
        self.leased -= 1


class ToldDetector:
    """Finds one face; `before` runs first and may raise or wait."""

    name = "told"
    sight: Sight | None = None

    def __init__(self, before: Callable[[DetectorPicture], None] = lambda picture: None) -> None:
        self.before = before
        self.opened = 0
        self.threads: set[str] = set()

    def __call__(self) -> AbstractAsyncContextManager["ToldDetector"]:
        """Open it, as the port asks."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator["ToldDetector"]:
        self.opened += 1
        yield self

    def detect(self, picture: DetectorPicture) -> Sequence[Detection]:
        """Find the one face."""
        self.threads.add(threading.current_thread().name)
        self.before(picture)
        return [Detection(Kind.FACE, FACE, 0.9)]


def believed(detector: Detector, finds: Collection[Kind]) -> None:
    """Take a detector for what it says it is; known faces are for real ones."""


class KeepingEncoder:
    """Keeps the last pictures it was given, newest last."""

    def __init__(self, keep: int = 400) -> None:
        self.pictures: list[tuple[int, Plane]] = []
        self.keyframes = 0
        self.threads: set[str] = set()
        self._keep = keep

    def encode(self, planes: Planes, captured_ns: int, *, keyframe: bool) -> EncodedPicture | None:
        """Keep the picture."""
        self.threads.add(threading.current_thread().name)
        self.keyframes += keyframe
        self.pictures.append((captured_ns, planes.i420()))
        del self.pictures[: -self._keep]
        return EncodedPicture(b"\0\0\0\1", keyframe)


def shows(i420: Plane, box: Box) -> bool:
    """Tell whether any pixel of the box is clear."""
    x, y, w, h = int(box.x), int(box.y), int(box.w), int(box.h)
    return bool((i420[:HEIGHT][y : y + h, x : x + w] == CLEAR).any())


def all_hidden(i420: Plane) -> bool:
    """Tell whether no pixel at all is clear."""
    return not bool((i420[:HEIGHT] == CLEAR).any())
