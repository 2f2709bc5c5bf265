"""The floor under the pipeline's cost: replays what detectors and encoder were given, and nothing else.

A benchmark wraps the back-ends with the taps of this module, runs the pipeline, and then replays: the same
detector calls and the same encodes alone, in one thread, with no capture, tracking, masking or event loop.
"""

import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from firmware.core.frames import Detection, Planes
from firmware.core.raw import DetectorPicture
from firmware.ports import Detector, EncodedPicture, Encoder, OpensDetector

KEPT_PICTURES = 24
KEPT_FRAMES = 120
"""Redacted frames kept for the encoder: four seconds at 30 per second, played to and fro."""


class TappedDetector:
    """Passes looks on, keeps the last pictures and counts all."""

    def __init__(self, inner: Detector, kept: deque[DetectorPicture], counted: Counter[str]) -> None:
        self._inner = inner
        self._kept = kept
        self._counted = counted
        self.name = inner.name
        self.sight = inner.sight

    def detect(self, picture: DetectorPicture) -> Sequence[Detection]:
        """Look, as the wrapped detector does."""
        self._kept.append(picture)
        self._counted[self.name] += 1
        return self._inner.detect(picture)


class TappedEncoder:
    """Passes pictures on and keeps the last ones."""

    def __init__(self, inner: Encoder, kept: deque[Planes]) -> None:
        self._inner = inner
        self._kept = kept

    def encode(self, planes: Planes, captured_ns: int, *, keyframe: bool) -> EncodedPicture | None:
        """Encode, as the wrapped encoder does."""
        self._kept.append(planes)
        return self._inner.encode(planes, captured_ns, keyframe=keyframe)


class Floor:
    """Keeps the last inputs of one run and replays them."""

    def __init__(self) -> None:
        self._pictures: dict[str, deque[DetectorPicture]] = {}
        self._counted: Counter[str] = Counter()
        self._frames: deque[Planes] = deque(maxlen=KEPT_FRAMES)

    def tap_detector(self, opens: OpensDetector) -> OpensDetector:
        """Return an opener whose detectors keep what they are shown."""

        @asynccontextmanager
        async def tapped() -> AsyncIterator[Detector]:
            async with opens() as inner:
                kept = self._pictures.setdefault(inner.name, deque(maxlen=KEPT_PICTURES))
                yield TappedDetector(inner, kept, self._counted)

        def opener() -> AbstractAsyncContextManager[Detector]:
            return tapped()

        return opener

    def tap_encoder(self, encoder: Encoder) -> Encoder:
        """Return an encoder that keeps what it is given."""
        return TappedEncoder(encoder, self._frames)

    @property
    def counted(self) -> Mapping[str, int]:
        """Pictures shown so far, by detector: a look at a large frame takes several."""
        return dict(self._counted)

    def looks_ms(self, detectors: Sequence[Detector], pictures: Mapping[str, int]) -> float:
        """Return the CPU milliseconds of showing each detector so many of its pictures, in this thread."""
        begun = time.thread_time_ns()
        for detector in detectors:
            kept = list(self._pictures[detector.name])
            for index in range(pictures[detector.name]):
                detector.detect(kept[index % len(kept)])
        return (time.thread_time_ns() - begun) / 1e6

    def encode_ms(self, encoder: Encoder, frames: int, fps: float) -> float:
        """Return the CPU milliseconds of encoding `frames` frames in this thread."""
        kept = list(self._frames)
        there_and_back = kept + kept[-2:0:-1]
        begun = time.thread_time_ns()
        for index in range(frames):
            encoder.encode(
                there_and_back[index % len(there_and_back)], round(index * 1e9 / fps), keyframe=index == 0
            )
        return (time.thread_time_ns() - begun) / 1e6
