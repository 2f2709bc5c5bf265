"""Writes a clip of redacted pictures: H.264 alone, no sound, no tags, no user data."""

from collections.abc import Iterable
from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
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
}
"""Container by the output's suffix."""

SEI = 6
"""NAL unit type of supplemental information, where libx264 tells its version and settings."""

UNSIGNED = {"fflags": "+bitexact"}
"""Keeps the muxer from signing the file with its name and version."""

QUALITY = "20"
"""libx264's constant rate factor: visually near the source."""


def write_clip(part: Path, suffix: str, info: ClipInfo, frames: Iterable[RedactedFrame], threads: int) -> int:
    """Encode all frames into `part`, in the container that `suffix` names; returns how many there were.

    Raises:
        OutputError: the file cannot be written or the encoder refuses the pictures.
    """
    try:
        with av.open(str(part), "w", format=FORMATS[suffix.lower()], options=UNSIGNED) as container:
            return _encode(container, info, frames, threads)
    except (av.FFmpegError, OSError) as exc:
        raise OutputError(
            f"{part.parent}: the clip cannot be written: {exc.strerror}; see space and rights"
        ) from exc


def _encode(container: OutputContainer, info: ClipInfo, frames: Iterable[RedactedFrame], threads: int) -> int:
    stream = _stream(container, info, threads)
    no_sei = BitStreamFilterContext(f"filter_units=remove_types={SEI}", stream)
    count, last = 0, None
    for frame in frames:
        picture = av.VideoFrame.from_numpy_buffer(frame.i420, format="yuv420p")
        stamp = round(frame.captured_ns / 10**9 / info.time_base)
        # Two pictures never share a time stamp, whatever the source says.
        last = stamp if last is None else max(stamp, last + 1)
        picture.pts, picture.time_base = last, info.time_base
        _mux(container, stream, no_sei, picture)
        count += 1
    _mux(container, stream, no_sei, None)
    container.mux(no_sei.filter(None))
    return count


def _mux(
    container: OutputContainer,
    stream: VideoStream,
    no_sei: BitStreamFilterContext,
    picture: av.VideoFrame | None,
) -> None:
    for packet in stream.encode(picture):
        container.mux(no_sei.filter(packet))


def _stream(container: OutputContainer, info: ClipInfo, threads: int) -> VideoStream:
    # No B-frames: pictures leave in the order they came in, with the time stamps they had.
    options = {"preset": "veryfast", "crf": QUALITY, "bf": "0"}
    stream = container.add_stream("libx264", rate=info.rate, options=options)
    context = stream.codec_context
    stream.width, stream.height, stream.pix_fmt = info.width, info.height, "yuv420p"
    stream.time_base = info.time_base
    context.time_base = info.time_base
    context.thread_count = threads
    context.color_range, context.color_primaries, context.color_trc, context.colorspace = info.colour
    return stream
