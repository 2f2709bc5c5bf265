"""Opens clips by PyAV, and nothing else that a file's name or content could make of it."""

import os
from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from firmware.errors import SourceCorrupt, SourceNotFound

DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,h264,hevc,mjpeg"
"""Containers that hold their own pictures; playlists and scripts, which name other places, do not."""

LIMITS = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS}
LEAST_SIDE = 16
STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
PICTURES = frozenset({"mjpeg", "png", "apng", "bmp", "gif", "webp", "tiff", "jpeg2000"})
"""What previews and covers are coded as that stand as a track; a film only where nothing else is one."""


def open_clip(path: Path) -> InputContainer:
    """Open a clip.

    A name such as `http:clip.mp4` is a file's, whatever FFmpeg would take it for, and no address in a file is
    followed.

    Raises:
        SourceNotFound: it is not there or may not be read.
        SourceCorrupt: it is no clip.
    """
    # Asked and not tried: a pipe must not be opened twice. What FFmpeg says of a file it may not read, it
    # says of an address in a file, too.
    if not path.exists():
        raise SourceNotFound(f"{path}: no such file")
    if not os.access(path, os.R_OK):
        raise SourceNotFound(f"{path}: may not be read; check its permissions")
    try:
        return av.open(f"file:{path.absolute()}", "r", metadata_errors="ignore", container_options=LIMITS)
    except (av.FFmpegError, OSError) as exc:
        raise SourceCorrupt(f"{path}: not a clip that can be read: {exc.strerror}; copy it again") from exc


def video_of(container: InputContainer, path: Path) -> VideoStream:
    """Return the stream that is the film; raises SourceCorrupt where there is none that can be decoded."""
    return films_of(container, path)[0]


def contexts_of(path: Path, stream: VideoStream) -> Iterator[VideoCodecContext]:
    """Yield decoders of a clip's stream that have not begun: its own, then as many as are asked for.

    Only its container tells a decoder all that it needs, so the clip is opened again for each.

    Raises:
        SourceNotFound: it is not there any more.
        SourceCorrupt: it has no such stream any more.
    """
    yield stream.codec_context
    while True:
        with open_clip(path) as again:
            found = [other for other in again.streams.video if other.index == stream.index]
            if not found:
                raise SourceCorrupt(f"{path}: changed while it was read; begin again")
            context = found[0].codec_context
        yield context


def films_of(container: InputContainer, path: Path) -> list[VideoStream]:
    """Return the streams that are films, the main one first: the largest, and of two alike the first.

    Covers, thumbnails and single pictures beside a film are none, wherever in the file they stand.

    Raises:
        SourceCorrupt: there is none that can be decoded and is large enough.
    """
    # No decoder, whatever PyAV's types say: then there is no size either.
    known = [stream for stream in container.streams.video if _can_be_decoded(stream)]
    moving = [stream for stream in known if not stream.disposition & STILL]
    films = [stream for stream in moving if stream.codec_context.name not in PICTURES] or moving
    if not films:
        raise SourceCorrupt(f"{path}: has no video stream that can be decoded; give a clip with a picture")
    large = [stream for stream in films if min(stream.width, stream.height) >= LEAST_SIDE]
    if not large:
        raise SourceCorrupt(
            f"{path}: its picture size {films[0].width}x{films[0].height} cannot be used; "
            f"give a clip of {LEAST_SIDE}x{LEAST_SIDE} or more"
        )
    return sorted(large, key=lambda stream: (-stream.width * stream.height, stream.index))


def _can_be_decoded(stream: VideoStream) -> bool:
    context: object = stream.codec_context
    return context is not None
