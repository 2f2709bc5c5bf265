"""A clip played as if it were a camera, by PyAV."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from firmware.config.drivers import FileOptions
from firmware.core.clip_file import open_clip, video_of
from firmware.core.frames import Planes
from firmware.core.pace import Pace
from firmware.core.planar import even_planes, stamp_of
from firmware.core.raw import RawFrame
from firmware.errors import CameraLost, EndOfSource, SourceCorrupt
from firmware.ports import CameraInfo

DEFAULT_FPS = 25.0
LONGEST_STEP_NS = 1_000_000_000
"""A longer pause in a clip is shortened to this, which is still no time that anybody is followed through."""

CLOSE_S = 1.0
"""How long closing waits for a read under way."""


class FileCamera:
    """Decodes one clip, over and over if told to."""

    def __init__(self, options: FileOptions) -> None:
        self._options = options
        self._container, self._stream = _open(Path(options.path))
        self._seq = 0
        self._in_pass = 0
        self._reading = threading.Lock()
        self._frames = self._decode()
        first = self._pull()
        if first is None:
            raise SourceCorrupt(f"{options.path}: holds no picture; the file is incomplete, copy it again")
        self._first: av.VideoFrame | None = first
        size = even_planes(first)
        fps = float(self._stream.average_rate or DEFAULT_FPS)
        self.info = CameraInfo(size.width, size.height, fps, options.path)
        self._period = round(1e9 / fps)
        self._pace = Pace(self._period)
        self._stamp: int | None = None
        self._due = time.monotonic_ns()

    def capture(self) -> RawFrame:
        """Wait until the next frame is due and decode it.

        Raises:
            EndOfSource: the clip has ended and is not to begin again.
            CameraLost: the clip breaks off, as an unplugged camera does, or changes its size.
        """
        with self._reading:
            planes, step = self._next()
        if self._options.realtime:
            self._due = self._pace.next_due(time.monotonic_ns(), step)
            time.sleep(max(0, self._due - time.monotonic_ns()) / 1e9)
        else:
            self._due += step
        seq, self._seq = self._seq, self._seq + 1
        return RawFrame(planes, self._due, seq, arrived_ns=time.monotonic_ns())

    def close(self) -> None:
        """Close the clip, unless a read hangs in it: what a thread still reads must not be freed."""
        if self._reading.acquire(timeout=CLOSE_S):
            self._container.close()

    def _next(self) -> tuple[Planes, int]:
        """Return the next picture and how many nanoseconds after the last one it is."""
        first, self._first = self._first, None
        frame = first or self._pull() or self._again()
        planes = even_planes(frame)
        if (planes.width, planes.height) != (self.info.width, self.info.height):
            raise CameraLost(f"{self._options.path}: changes its picture size; cut the clip where it does")
        return planes, self._step(frame)

    def _step(self, frame: av.VideoFrame) -> int:
        """Return the clip's own time between two pictures; its nominal one where the stamps do not rise."""
        last, self._stamp = self._stamp, stamp_of(frame)
        if last is None or self._stamp is None or self._stamp <= last:
            return self._period
        return min(self._stamp - last, LONGEST_STEP_NS)

    def _pull(self) -> av.VideoFrame | None:
        frame = next(self._frames, None)
        if frame is not None:
            self._in_pass += 1
        return frame

    def _decode(self) -> Iterator[av.VideoFrame]:
        try:
            yield from self._container.decode(self._stream)
        except av.FFmpegError as exc:
            if self._seq == 0:
                raise SourceCorrupt(
                    f"{self._options.path}: cannot be decoded: {exc.strerror}; copy it again"
                ) from exc
            raise self._broken_off() from exc

    def _again(self) -> av.VideoFrame:
        """Begin again at the end of the clip, if it really was the end."""
        if self._in_pass < self._stream.frames:
            raise self._broken_off()
        if not self._options.loop:
            raise EndOfSource(f"{self._options.path} has ended")
        self._container.close()
        self._container, self._stream = _open(Path(self._options.path))
        self._in_pass = 0
        self._frames = self._decode()
        frame = self._pull()
        if frame is None:
            raise self._broken_off()
        return frame

    def _broken_off(self) -> CameraLost:
        return CameraLost(
            f"{self._options.path}: breaks off after {self._seq} frames; "
            "the file is incomplete, copy it again"
        )


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    container = open_clip(path)
    try:
        return container, video_of(container, path)
    except SourceCorrupt:
        container.close()
        raise


@asynccontextmanager
async def open_camera(options: FileOptions) -> AsyncIterator[FileCamera]:
    """Open a clip; raises SourceNotFound or SourceCorrupt."""
    camera = await asyncio.to_thread(FileCamera, options)
    try:
        yield camera
    finally:
        await asyncio.to_thread(camera.close)
