"""Reads the pictures of a clip in order, by PyAV, any number of times and one at a time."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from firmware.core.clip_file import contexts_of, films_of, open_clip
from firmware.core.clip_reading import Reading, begin_ns
from firmware.core.display import turn_of
from firmware.core.frames import Planes
from firmware.core.planar import FULL_RANGE, even_planes, stamp_of
from firmware.core.raw import RawFrame
from firmware.errors import SourceCorrupt
from firmware.redact.clip import ClipInfo

DEFAULT_RATE = Fraction(25)
FASTEST = 240
"""No camera of people is faster, whatever a container says of its clock."""
LIMITED_RANGE = 1
SQUARE = Fraction(1)
BOTTOM_FIRST = (3, 4)
"""Codes of libavcodec for pictures whose lower field is shown first."""


class Clip:
    """One film of a clip; turned as it is to be shown, odd sizes padded to even by repeating the edge.

    `index` is the stream's number in the file, by default the main film's. After a pass over `frames`,
    `tail_ns` is how long the last picture is shown, and `lost` says what of the clip could not be had, or is
    empty.
    """

    def __init__(self, path: Path, threads: int = 1, index: int | None = None) -> None:
        self._path = path
        self._threads = threads
        self._index = index
        self.lost = ""
        self.tail_ns = 0
        with open_clip(self._path) as container:
            films = films_of(container, path)
            self.further = [film.index for film in films[1:]]
            """The numbers of the file's other films."""
            self.left_out = _left_out(container, [film.index for film in films])
            """What of the file's video is no film that can be read, in words."""
            stream = self._film(container)
            first = next(iter(self._reading(container, stream)), None)
            if first is None:
                raise SourceCorrupt(f"{path}: holds no picture that can be decoded; copy it again")
            self.info = _info(stream, first, _converted(first, path))

    def frames(self) -> Iterator[RawFrame]:
        """Decode from the beginning; `seq` counts from 0, `captured_ns` from the clip's own beginning.

        Raises:
            SourceCorrupt: it changes its picture size.
        """
        with open_clip(self._path) as container:
            stream = self._film(container)
            # Without a time stamp of its own a picture follows the last one at the nominal rate.
            step = round(1e9 / self.info.rate)
            now, begin = -step, begin_ns(container)
            reading = self._reading(container, stream)
            for seq, frame in enumerate(reading):
                stamp = stamp_of(frame)
                if stamp is not None and (begin is None or (seq == 0 and stamp < begin)):
                    begin = stamp
                told = None if stamp is None or begin is None else stamp - begin
                now = now + step if told is None or (seq and told <= now) else told
                self.tail_ns = _length_ns(frame) or step
                yield RawFrame(self._planes(frame), now, seq)
            self.lost = reading.lost(step)

    def _film(self, container: InputContainer) -> VideoStream:
        films = films_of(container, self._path)
        return next((film for film in films if film.index == self._index), films[0])

    def _reading(self, container: InputContainer, stream: VideoStream) -> Reading:
        return Reading(container, stream, contexts_of(self._path, stream), self._threads)

    def _planes(self, frame: av.VideoFrame) -> Planes:
        planes = _converted(frame, self._path)
        if (planes.width, planes.height) != (self.info.width, self.info.height):
            raise SourceCorrupt(f"{self._path}: changes its picture size on the way; cut it where it changes")
        return planes


def _converted(frame: av.VideoFrame, path: Path) -> Planes:
    try:
        return even_planes(frame)
    except (av.FFmpegError, ValueError) as exc:
        raise SourceCorrupt(f"{path}: {frame.format.name} pictures cannot be converted ({exc})") from exc


def _info(stream: VideoStream, first: av.VideoFrame, planes: Planes) -> ClipInfo:
    # Whatever was converted is in limited range.
    kept = first.format.name == "yuv420p" and first.color_range != FULL_RANGE
    aspect = stream.sample_aspect_ratio or SQUARE
    order = stream.codec_context.field_order if first.interlaced_frame else 0
    rate = stream.average_rate or stream.guessed_rate or DEFAULT_RATE
    return ClipInfo(
        width=planes.width,
        height=planes.height,
        rate=rate,
        steady=min(max(rate, stream.base_rate or rate), Fraction(FASTEST)),
        time_base=stream.time_base or Fraction(1, 90_000),
        expected=stream.frames,
        aspect=1 / aspect if turn_of(first).transposed else aspect,
        fields=("bff" if order in BOTTOM_FIRST else "tff") if first.interlaced_frame else "",
        colour=(
            int(first.color_range) if kept else LIMITED_RANGE,
            int(first.color_primaries),
            int(first.color_trc),
            int(first.colorspace),
        ),
    )


def _left_out(container: InputContainer, films: list[int]) -> list[str]:
    """Return in words which video streams are no films: covers and thumbnails, and what has no decoder."""
    found = []
    for stream in container.streams.video:
        if stream.index in films:
            continue
        context: object = stream.codec_context
        what = "has no decoder here" if context is None else "is a cover or preview"
        found.append(f"stream {stream.index} {what}")
    return found


def _length_ns(frame: av.VideoFrame) -> int:
    return 0 if frame.time_base is None else round(frame.duration * frame.time_base * 10**9)
