"""H.264 by the block of a Raspberry Pi 4 (bcm2835-codec), through PyAV and the kernel's own device for it.

The block gives its parameter sets once; viewers come at any time, so they are put before every keyframe.
Whether this PyAV has the encoder and this machine the block is said when it is opened: nothing falls back
silently.

Source: FFmpeg, libavcodec/v4l2_m2m_enc.c. Shown with libx264 in the block's place; on no Pi.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from firmware.config.drivers import V4l2m2mOptions
from firmware.core.frames import Planes
from firmware.core.nal import parameter_sets
from firmware.errors import DriverUnavailable, EncoderFailed
from firmware.ports import EncodedPicture

CODEC = "h264_v4l2m2m"
MICROSECONDS = Fraction(1, 1_000_000)
INSTEAD = 'choose `driver = "x264"` under [encoder] in a board file of your own'


class V4l2m2mEncoder:
    """One encoder of the block, for pictures of one size."""

    def __init__(self, context: VideoCodecContext) -> None:
        self._context = context
        self._pts = -1
        self._sets = b""

    def encode(self, planes: Planes, captured_ns: int, *, keyframe: bool) -> EncodedPicture | None:
        """Encode one picture; None while the block works on the first ones. Raises EncoderFailed."""
        frame = av.VideoFrame.from_numpy_buffer(planes.i420(), format="yuv420p")
        self._pts = max(self._pts + 1, captured_ns // 1000)
        frame.pts, frame.time_base = self._pts, MICROSECONDS
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        try:
            packets = self._context.encode(frame)
        except (av.FFmpegError, BlockingIOError) as exc:
            raise EncoderFailed(f"{CODEC}: {exc}; restart the camera, or {INSTEAD}") from exc
        if not packets:
            return None
        data = b"".join(bytes(packet) for packet in packets)
        key = any(packet.is_keyframe for packet in packets)
        return EncodedPicture(self._with_sets(data) if key else data, key)

    def _with_sets(self, data: bytes) -> bytes:
        """Put the parameter sets before a keyframe that has none."""
        found = parameter_sets(data)
        if found:
            self._sets = found
            return data
        return self._sets + data


@asynccontextmanager
async def open_encoder(
    options: V4l2m2mOptions, width: int, height: int, fps: float
) -> AsyncIterator[V4l2m2mEncoder]:
    """Open the block for pictures of `width` x `height`; raises DriverUnavailable or EncoderFailed."""
    yield V4l2m2mEncoder(await asyncio.to_thread(_opened, options, width, height, fps))


def _opened(options: V4l2m2mOptions, width: int, height: int, fps: float) -> VideoCodecContext:
    try:
        context = av.CodecContext.create(CODEC, "w")
    except ValueError as exc:
        raise DriverUnavailable(f"encoder driver 'v4l2m2m': this PyAV has no {CODEC}; {INSTEAD}") from exc
    if not isinstance(context, VideoCodecContext):
        raise DriverUnavailable(f"encoder driver 'v4l2m2m': this PyAV has no {CODEC}; {INSTEAD}")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.bit_rate = options.bitrate
    context.framerate = Fraction(fps).limit_denominator(1001)
    context.time_base = MICROSECONDS
    context.gop_size = max(1, round(fps * options.keyframe_interval_s))
    context.max_b_frames = 0
    try:
        context.open()
    except (av.FFmpegError, OSError) as exc:
        raise DriverUnavailable(
            f"encoder driver 'v4l2m2m': this machine has no H.264 block that takes {width}x{height} ({exc}): "
            f"a Raspberry Pi 4 has (ls /dev/video11); else {INSTEAD}"
        ) from exc
    return context
