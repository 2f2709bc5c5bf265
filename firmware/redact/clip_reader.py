"""Reads the pictures of a clip in order, by PyAV, any number of times and one at a time."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from firmware.core.clip_file import films_of, open_clip
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
PROMISING = ("matroska", "mov", "avi", "flv")
"""Containers that say how long they are; the others' length is a guess."""
MICROSECOND = Fraction(1, 1_000_000)


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
            first = next((frame for _, frame in _Pass(container, stream)), None)
            if first is None:
                raise SourceCorrupt(f"{path}: holds no picture that can be decoded; copy it again")
            self.info = _info(stream, first)

    def frames(self) -> Iterator[RawFrame]:
        """Decode from the beginning; `seq` counts from 0, `captured_ns` from the clip's own beginning.

        Raises:
            SourceCorrupt: it changes its picture size.
        """
        with open_clip(self._path) as container:
            stream = self._film(container)
            # Without a time stamp of its own a picture follows the last one at the nominal rate.
            step = round(1e9 / self.info.rate)
            now, begin = -step, _begin_ns(container)
            read = _Pass(container, stream)
            for seq, (stamp, frame) in enumerate(read):
                if stamp is not None and (begin is None or (seq == 0 and stamp < begin)):
                    begin = stamp
                told = None if stamp is None or begin is None else stamp - begin
                now = now + step if told is None or (seq and told <= now) else told
                self.tail_ns = _length_ns(frame) or step
                yield RawFrame(self._planes(frame), now, seq)
            self.lost = read.lost(step)

    def _film(self, container: InputContainer) -> VideoStream:
        films = films_of(container, self._path)
        found = next((film for film in films if film.index == self._index), films[0])
        found.codec_context.thread_count = self._threads
        found.thread_type = "AUTO"
        return found

    def _planes(self, frame: av.VideoFrame) -> Planes:
        planes = even_planes(frame)
        if (planes.width, planes.height) != (self.info.width, self.info.height):
            raise SourceCorrupt(f"{self._path}: changes its picture size on the way; cut it where it changes")
        return planes


class _Pass:
    """One way through a clip: its pictures with their time stamps, past what cannot be decoded."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container, self._stream = container, stream
        self._count = self._damaged = 0
        self._end_ns = 0
        self._why = ""
        self._needs_key = False

    def __iter__(self) -> Iterator[tuple[int | None, av.VideoFrame]]:
        try:
            for packet in self._container.demux():
                if packet.pts is not None and packet.time_base is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    self._end_ns = max(self._end_ns, round(end * 10**9))
                if packet.stream_index == self._stream.index:
                    yield from self._decoded(cast("Packet[VideoStream]", packet))
        except (av.FFmpegError, OSError) as exc:
            self._why = str(exc.strerror)

    def _decoded(self, packet: "Packet[VideoStream]") -> Iterator[tuple[int | None, av.VideoFrame]]:
        if packet.is_corrupt:
            self._damaged, self._why, self._needs_key = self._damaged + 1, "a part is missing", True
        if self._needs_key and packet.size and (packet.is_corrupt or not packet.is_keyframe):
            return
        try:
            # What refers to a picture that is missing is no picture: on from the next that stands alone.
            frames = packet.decode()
            self._needs_key = False
        except (av.FFmpegError, OSError) as exc:
            self._damaged += 1
            self._why = str(exc.strerror)
            self._needs_key = bool(packet.size)
            return
        for frame in frames:
            self._count += 1
            yield stamp_of(frame), frame

    def lost(self, step_ns: int) -> str:
        """Say what of the clip is not there, held against what its container promises; empty for nothing."""
        had = f"{self._count} frames"
        if self._stream.frames > self._count:
            had = f"{self._count} of {self._stream.frames} frames"
        begin, promised = _begin_ns(self._container), self._container.duration
        if begin is not None and promised and self._container.format.name.startswith(PROMISING):
            length = round(promised * MICROSECOND * 10**9)
            there = self._end_ns if self._is_absolute(begin, length) else self._end_ns - begin
            if length - there > 2 * step_ns:
                return f"breaks off after {had}, at {there / 1e9:.2f} s of {length / 1e9:.2f} s"
        if self._damaged:
            return f"{self._damaged} places could not be decoded ({self._why}); {had} could"
        return f"breaks off after {had} ({self._why})" if self._why else ""

    def _is_absolute(self, begin_ns: int, length_ns: int) -> bool:
        """Say whether the promised length counts from zero: Matroska has the last time there, mostly."""
        return self._container.format.name.startswith("matroska") and length_ns > begin_ns


def _info(stream: VideoStream, first: av.VideoFrame) -> ClipInfo:
    planes = even_planes(first)
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


def _begin_ns(container: InputContainer) -> int | None:
    """Return where the clip begins on its own clock, which may be any time of a recorder's day."""
    begun = cast("int | None", container.start_time)  # PyAV's types leave out that it may be unknown
    return None if begun is None else round(begun * MICROSECOND * 10**9)


def _length_ns(frame: av.VideoFrame) -> int:
    return 0 if frame.time_base is None else round(frame.duration * frame.time_base * 10**9)
