"""Reads the pictures of a clip in order, by PyAV, any number of times and one at a time."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from firmware.core.clip_file import open_clip, video_of
from firmware.core.frames import Planes
from firmware.core.planar import even_planes
from firmware.core.raw import RawFrame
from firmware.errors import SourceCorrupt
from firmware.redact.clip import ClipInfo

DEFAULT_RATE = Fraction(25)
LIMITED_RANGE = 1


class Clip:
    """A clip on disk; turned as it is to be shown, odd sizes padded to even by repeating the edge."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._path = path
        self._threads = threads
        with open_clip(self._path) as container:
            stream = self._video(container)
            first = next(self._decoded(container, stream), None)
            if first is None:
                raise SourceCorrupt(f"{path}: holds no picture; the file is incomplete, copy it again")
            self.info = _info(stream, first)

    def frames(self) -> Iterator[RawFrame]:
        """Decode from the beginning; `seq` counts from 0, `captured_ns` is the time stamp.

        Raises:
            SourceCorrupt: a part of the clip cannot be decoded.
        """
        with open_clip(self._path) as container:
            stream = self._video(container)
            # Without a time stamp of its own a picture follows the last one at the nominal rate.
            step = round(1e9 / self.info.rate)
            now = -step
            for seq, frame in enumerate(self._decoded(container, stream)):
                stamp = None if frame.pts is None else round(frame.pts * self.info.time_base * 10**9)
                now = now + step if stamp is None or (seq and stamp <= now) else stamp
                yield RawFrame(self._planes(frame), now, seq)

    def _video(self, container: InputContainer) -> VideoStream:
        stream = video_of(container, self._path)
        stream.codec_context.thread_count = self._threads
        return stream

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        count = 0
        try:
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise SourceCorrupt(f"{self._path}: breaks off after {count} frames; copy it again")
                for frame in packet.decode():
                    count += 1
                    yield frame
        except (av.FFmpegError, OSError) as exc:
            raise SourceCorrupt(
                f"{self._path}: cannot be decoded after {count} frames: {exc.strerror}; copy it again"
            ) from exc

    def _planes(self, frame: av.VideoFrame) -> Planes:
        planes = even_planes(frame)
        if (planes.width, planes.height) != (self.info.width, self.info.height):
            raise SourceCorrupt(f"{self._path}: changes its picture size on the way; cut it where it changes")
        return planes


def _info(stream: VideoStream, first: av.VideoFrame) -> ClipInfo:
    planes = even_planes(first)
    kept = first.format.name == "yuv420p"
    return ClipInfo(
        width=planes.width,
        height=planes.height,
        rate=stream.average_rate or stream.guessed_rate or DEFAULT_RATE,
        time_base=stream.time_base or Fraction(1, 90_000),
        expected=stream.frames,
        colour=(
            int(first.color_range) if kept else LIMITED_RANGE,
            int(first.color_primaries),
            int(first.color_trc),
            int(first.colorspace),
        ),
    )
