"""Writes a clip of redacted pictures: H.264 alone, no sound, no tags, no user data."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext
from av.codec.context import Flags
from av.container import OutputContainer
from av.filter import Graph
from av.packet import Packet
from av.video.stream import VideoStream

from firmware.core.frames import RedactedFrame
from firmware.errors import OutputError
from firmware.redact.clip import ClipInfo

FORMATS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "matroska",  # WebM itself has no H.264; players go by the content
    ".avi": "avi",
    ".ts": "mpegts",
    ".mts": "mpegts",
    ".m2ts": "mpegts",
    ".3gp": "3gp",
    ".3g2": "3g2",
    ".mpg": "vob",
    ".mpeg": "vob",
    ".flv": "flv",
}
"""Container by the output's suffix."""

I420 = av.VideoFormat("yuv420p")

SEI = 6
"""NAL unit type of supplemental information, where libx264 tells its version and settings."""

UNSIGNED = {"fflags": "+bitexact"}
"""Keeps the muxer from signing the file with its name and version."""

QUALITY = "20"
"""libx264's constant rate factor: visually near the source."""


STEADY = ("avi",)
"""Containers of pictures at one rate, without time stamps."""


def write_clip(
    part: Path,
    suffix: str,
    info: ClipInfo,
    frames: Iterable[RedactedFrame],
    tail_ns: Callable[[], int],
    threads: int,
) -> int:
    """Encode all frames into `part`, in the container that `suffix` names; returns how many there were.

    `tail_ns` says, once all are there, how long the last one is shown.

    Raises:
        OutputError: the file cannot be written or the encoder refuses the pictures.
    """
    try:
        with av.open(str(part), "w", format=FORMATS[suffix.lower()], options=UNSIGNED) as container:
            return _Writing(container, info, threads).run(frames, tail_ns)
    except (av.FFmpegError, OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise OutputError(f"{part.parent}: the clip cannot be written: {why}; see space and rights") from exc


class _Writing:
    """One clip that is being written: each packet is held until the next one says how long it is shown."""

    def __init__(self, container: OutputContainer, info: ClipInfo, threads: int) -> None:
        self._container, self._info = container, info
        self._unit = 1 / info.steady if container.format.name in STEADY else info.time_base
        self._stream = _stream(container, info, self._unit, threads)
        self._no_sei = BitStreamFilterContext(f"filter_units=remove_types={SEI}", self._stream)
        self._fields = _labelled(info, self._unit) if info.fields else None
        self._held: Packet[VideoStream] | None = None

    def run(self, frames: Iterable[RedactedFrame], tail_ns: Callable[[], int]) -> int:
        """Write all frames; returns how many there were."""
        count, last = 0, -1
        for frame in frames:
            # Two pictures never share a time stamp, whatever the source says.
            last = max(round(frame.captured_ns / 10**9 / self._unit), last + 1)
            self._mux(self._picture(frame, last))
            count += 1
        self._mux(None)
        self._pass_on(None, max(1, round(tail_ns() / 10**9 / self._unit)))
        self._container.mux(self._no_sei.filter(None))
        return count

    def _picture(self, frame: RedactedFrame, stamp: int) -> av.VideoFrame:
        picture = av.VideoFrame.from_numpy_buffer(frame.i420, format="yuv420p")
        picture.pts, picture.time_base = stamp, self._unit
        if self._fields is None:
            return picture
        self._fields.push(picture)
        return self._fields.vpull()

    def _mux(self, picture: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(picture):
            self._pass_on(packet, 1)

    def _pass_on(self, packet: "Packet[VideoStream] | None", tail: int) -> None:
        held, self._held = self._held, packet
        if held is None:
            return
        following = None if packet is None else packet.pts
        held.duration = tail if following is None or held.pts is None else following - held.pts
        self._container.mux(self._no_sei.filter(held))


def _labelled(info: ClipInfo, unit: Fraction) -> Graph:
    """Return a filter that says of each picture which field is first; PyAV has no words for it."""
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(width=info.width, height=info.height, format=I420, time_base=unit),
        graph.add("setfield", f"mode={info.fields}"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _stream(container: OutputContainer, info: ClipInfo, unit: Fraction, threads: int) -> VideoStream:
    # No B-frames: pictures leave in the order they came in, with the time stamps they had.
    options = {"preset": "veryfast", "crf": QUALITY, "bf": "0"}
    stream = container.add_stream("libx264", rate=min(info.rate, info.steady), options=options)
    context = stream.codec_context
    stream.width, stream.height, stream.pix_fmt = info.width, info.height, "yuv420p"
    stream.time_base = unit
    context.time_base = unit
    context.sample_aspect_ratio = info.aspect
    if info.fields:
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
    context.thread_count = threads
    context.color_range, context.color_primaries, context.color_trc, context.colorspace = info.colour
    return stream
