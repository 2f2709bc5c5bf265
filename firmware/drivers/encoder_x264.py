"""H.264 by libx264 through PyAV: constrained baseline, no reordering, one access unit per picture."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from firmware.config.drivers import X264Options
from firmware.core.frames import Planes
from firmware.errors import EncoderFailed
from firmware.ports import EncodedPicture

TIME_BASE = Fraction(1, 90_000)


class X264Encoder:
    """One libx264 encoder for pictures of one size."""

    def __init__(self, context: VideoCodecContext) -> None:
        self._context = context
        self._pts = -1

    def encode(self, planes: Planes, captured_ns: int, *, keyframe: bool) -> EncodedPicture | None:
        """Encode one picture, without copying it where its planes lie behind one another.

        Raises:
            EncoderFailed: libx264 refused it.
        """
        frame = av.VideoFrame.from_numpy_buffer(planes.i420(), format="yuv420p")
        # libx264 refuses time that stands still; two captures can share a 90 kHz tick only by mistake.
        self._pts = max(self._pts + 1, captured_ns * 9 // 100_000)
        frame.pts = self._pts
        frame.time_base = TIME_BASE
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        try:
            packets = self._context.encode(frame)
        except av.FFmpegError as exc:
            raise EncoderFailed(f"x264: {exc}; restart the camera") from exc
        if not packets:
            return None
        return EncodedPicture(
            b"".join(bytes(packet) for packet in packets), any(packet.is_keyframe for packet in packets)
        )


@asynccontextmanager
async def open_encoder(
    options: X264Options, width: int, height: int, fps: float
) -> AsyncIterator[X264Encoder]:
    """Open libx264 for pictures of `width` x `height`; raises EncoderFailed."""
    yield X264Encoder(await asyncio.to_thread(_opened, options, width, height, fps))


def _opened(options: X264Options, width: int, height: int, fps: float) -> VideoCodecContext:
    context = av.CodecContext.create("libx264", "w")
    if not isinstance(context, VideoCodecContext):
        raise EncoderFailed("this PyAV has no libx264; install PyAV from its wheel")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.bit_rate = options.bitrate
    context.framerate = Fraction(fps).limit_denominator(1001)
    context.time_base = TIME_BASE
    context.thread_count = options.threads
    context.profile = "Baseline"
    context.options = {
        "preset": options.preset,
        "tune": "zerolatency",
        "forced-idr": "1",
        "g": str(max(1, round(fps * options.keyframe_interval_s))),
        # A buffer of half a second keeps keyframes from bursting far over the rate.
        "maxrate": str(options.bitrate),
        "bufsize": str(options.bitrate // 2),
    }
    try:
        context.open()
    except av.FFmpegError as exc:
        raise EncoderFailed(f"x264 cannot be opened for {width}x{height}: {exc}; try another size") from exc
    return context
