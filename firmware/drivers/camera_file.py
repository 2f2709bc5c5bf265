"""A clip played as if it were a camera, by PyAV."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from firmware.config.drivers import FileOptions
from firmware.core.clip_file import contexts_of, open_clip, video_of
from firmware.core.clip_reading import Reading
from firmware.core.display import squared, turn_of
from firmware.core.frames import Planes
from firmware.core.pace import Pace
from firmware.core.planar import even_planes, in_size, stamp_of
from firmware.core.raw import RawFrame
from firmware.errors import CameraLost, EndOfSource, SourceCorrupt
from firmware.ports import CameraInfo

DEFAULT_FPS = 25.0
LONGEST_STEP_NS = 250_000_000
"""In a longer pause the last picture comes again, as from a camera: one that gives none is taken for lost,
and what is held back before release counts frames."""
SLOWEST_FPS, FASTEST_FPS = 4.0, 60.0
SHORTEST_STEP_NS = 15_000_000
"""What follows faster is dropped: no board looks that often, and what nobody looked at is hidden whole."""

THREADS = 0
"""As many as there are cores, for kinds of clips that can use them."""

CLOSE_S = 1.0
"""How long closing waits for a read under way."""


class FileCamera:
    """Decodes one clip, over and over if told to."""

    def __init__(self, options: FileOptions) -> None:
        self._options = options
        self._container, self._stream = _open(Path(options.path))
        self._seq = 0
        self._reading = threading.Lock()
        self._begin()
        first = self._pull()
        if first is None:
            raise SourceCorrupt(f"{options.path}: holds no picture; the file is incomplete, copy it again")
        self._size = _coded(first)
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        shown = squared(*self._size, 1 / aspect if turn_of(first).transposed else aspect)
        fps = float(self._stream.average_rate or DEFAULT_FPS)
        self.info = CameraInfo(*shown, min(max(fps, SLOWEST_FPS), FASTEST_FPS), options.path)
        self._period = round(1e9 / fps)
        self._pace = Pace(self._period)
        self._stamp = stamp_of(first)
        self._due = time.monotonic_ns()
        self._next_frame: av.VideoFrame | None = first
        self._shown: Planes | None = None
        self._pause_ns = 0

    def capture(self) -> RawFrame:
        """Wait until the next frame is due and decode it; in a long pause the last one comes again and again.

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
        if self._next_frame is None:
            self._next_frame, self._pause_ns = self._due_next()
        if self._shown is not None and self._pause_ns > LONGEST_STEP_NS:
            self._pause_ns -= LONGEST_STEP_NS
            return self._shown, LONGEST_STEP_NS
        frame, self._next_frame = self._next_frame, None
        if _coded(frame) != self._size:
            raise CameraLost(f"{self._options.path}: changes its picture size; cut the clip where it does")
        self._shown = in_size(even_planes(frame), self.info.width, self.info.height)
        return self._shown, self._pause_ns

    def _due_next(self) -> tuple[av.VideoFrame, int]:
        """Return the next frame that is shown, and how long after the last: what is too fast is dropped."""
        waited = 0
        while True:
            frame = self._pull() or self._again()
            waited += self._step(frame)
            if waited >= SHORTEST_STEP_NS:
                return frame, waited

    def _step(self, frame: av.VideoFrame) -> int:
        """Return the clip's own time between two pictures; its nominal one where the stamps do not rise."""
        last, self._stamp = self._stamp, stamp_of(frame)
        if last is None or self._stamp is None or self._stamp <= last:
            return self._period
        return self._stamp - last

    def _begin(self) -> None:
        contexts = contexts_of(Path(self._options.path), self._stream)
        self._pass = Reading(self._container, self._stream, contexts, THREADS)
        self._frames = iter(self._pass)

    def _pull(self) -> av.VideoFrame | None:
        return next(self._frames, None)

    def _again(self) -> av.VideoFrame:
        """Begin again at the end of the clip, if it really was the end."""
        self._require_whole()
        if not self._options.loop:
            raise EndOfSource(f"{self._options.path} has ended")
        self._container.close()
        self._container, self._stream = _open(Path(self._options.path))
        self._begin()
        frame = self._pull()
        if frame is None:
            raise CameraLost(f"{self._options.path}: holds no picture any more; copy it again")
        return frame

    def _require_whole(self) -> None:
        cut = self._pass.breaks_off(self._period)
        if cut:
            raise CameraLost(f"{self._options.path}: {cut}; the file is incomplete, copy it again")


def _coded(frame: av.VideoFrame) -> tuple[int, int]:
    """Return the even size of a frame as it is turned, before its pixels are made square."""
    width, height = frame.width + frame.width % 2, frame.height + frame.height % 2
    return (height, width) if turn_of(frame).transposed else (width, height)


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
