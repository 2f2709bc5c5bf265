"""A Jetson's camera and its H.264 block, both by GStreamer's elements of JetPack.

    camera    nvarguscamerasrc ! nvvidconv ! appsink     the ISP's picture, in this process's memory
    encoder   appsrc ! nvvidconv ! nvv4l2h264enc ! h264parse ! appsink

The camera's frames are views of GStreamer's buffers, as its caps say that rows lie; a buffer goes back with
the last lease. Every wait has an end: what does not come in time is said with what the pipeline's bus says.

Source: NVIDIA Jetson Linux Developer Guide, "Accelerated GStreamer"; GStreamer, GstApp and GstVideo. Shown
with GStreamer itself, and a test picture and a software encoder in the places of NVIDIA's elements; on no
Jetson.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import gi
import numpy as np

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import GLib, Gst, GstApp, GstVideo  # noqa: E402, F401 - versions first; GstApp for its ends

from firmware.config.drivers import ArgusOptions, NvencOptions  # noqa: E402
from firmware.core.frames import Plane, Planes  # noqa: E402
from firmware.core.moment import SourceClock  # noqa: E402
from firmware.core.raw import RawFrame  # noqa: E402
from firmware.errors import CameraLost, DriverUnavailable, EncoderFailed, SourceNotFound  # noqa: E402
from firmware.ports import CameraInfo, EncodedPicture  # noqa: E402

SOURCE = "nvarguscamerasrc name=source sensor-id={sensor}"
ON_DEVICE = "video/x-raw(memory:NVMM),format=NV12,width={width},height={height},framerate={rate}"
CONVERT = "nvvidconv"
ENCODE = (
    "nvvidconv ! video/x-raw(memory:NVMM),format=NV12 ! nvv4l2h264enc bitrate={bitrate} "
    "idrinterval={interval} iframeinterval={interval} insert-sps-pps=true profile=0 num-B-Frames=0"
)
START_S, WITHIN_S = 15.0, 3.0
"""Argus takes seconds to start; after that, what delivers nothing for so long is gone."""
DEEPEST = 4
"""Buffers that wait in the pipeline; the oldest are dropped."""
JETPACK = "install JetPack's multimedia packages (sudo apt install nvidia-l4t-gstreamer nvidia-l4t-camera)"


class Pipeline:
    """A pipeline that runs, and the end that gives samples."""

    def __init__(self, text: str, needs: str) -> None:
        if not Gst.is_initialized():
            Gst.init(None)
        try:
            self.pipeline = Gst.parse_launch(text)
        except GLib.Error as exc:
            raise DriverUnavailable(f"{needs}: {exc.message}; {JETPACK}") from exc
        self.out: Any = self.pipeline.get_by_name("out")
        self._first = True

    def start(self) -> None:
        """Let it run."""
        self.pipeline.set_state(Gst.State.PLAYING)

    def sample(self, within_s: float) -> Any:
        """Return the next sample; None where none comes in time or the pipeline has ended."""
        return self.out.try_pull_sample(int(within_s * Gst.SECOND))

    def complaint(self) -> str:
        """Return what the pipeline's bus has to say for itself."""
        message = self.pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR | Gst.MessageType.EOS)
        if message is None:
            return "it gives nothing"
        if message.type == Gst.MessageType.EOS:
            return "it has ended"
        return str(message.parse_error()[0].message)

    def close(self) -> None:
        """End it, and wait until it has."""
        self.pipeline.set_state(Gst.State.NULL)


class ArgusCamera:
    """One camera of a Jetson."""

    def __init__(self, options: ArgusOptions) -> None:
        self._name = f"camera {options.sensor}"
        rate = Fraction(options.fps).limit_denominator(1001)
        words = {
            "sensor": options.sensor,
            "width": options.width,
            "height": options.height,
            "rate": f"{rate.numerator}/{rate.denominator}",
        }
        text = " ! ".join((SOURCE, ON_DEVICE, CONVERT, "video/x-raw,format=I420")).format(**words)
        end = f"appsink name=out max-buffers={DEEPEST} drop=true sync=false"
        self._pipeline = Pipeline(f"{text} ! {end}", "camera driver 'argus'")
        self._pipeline.start()
        first = self._pipeline.sample(START_S)
        if first is None:
            said = self._pipeline.complaint()
            self._pipeline.close()
            raise SourceNotFound(f"{self._name}: {said}; check its cable, and restart nvargus-daemon")
        self._video = GstVideo.VideoInfo.new_from_caps(first.get_caps())
        self.info = CameraInfo(options.width, options.height, options.fps, f"Jetson {self._name}")
        self._seq, self._clock = 0, SourceClock()

    def capture(self) -> RawFrame:
        """Wait for the next frame and lease its buffer; raises CameraLost."""
        sample = self._pipeline.sample(WITHIN_S)
        if sample is None:
            said = self._pipeline.complaint()
            raise CameraLost(f"{self._name}: {said}; check its cable, then restart")
        now = time.monotonic_ns()
        seq, self._seq = self._seq, self._seq + 1
        buffer = sample.get_buffer()
        told, mapped = buffer.map(Gst.MapFlags.READ)
        if not told:
            raise CameraLost(f"{self._name}: its picture cannot be read; restart the camera")
        at = self._clock.moment(seq, None if buffer.pts == Gst.CLOCK_TIME_NONE else buffer.pts, now)
        return RawFrame(
            self._planes(np.frombuffer(mapped.data, np.uint8)),
            at.captured_ns,
            seq,
            on_release=lambda: buffer.unmap(mapped),
            arrived_ns=now,
            timeline=at.timeline,
        )

    def _planes(self, data: Plane) -> Planes:
        """Return views of I420 as the caps say that its rows lie."""
        made = []
        for number in range(3):
            height = self.info.height // (2 if number else 1)
            width = self.info.width // (2 if number else 1)
            begin, stride = self._video.offset[number], self._video.stride[number]
            rows = np.lib.stride_tricks.as_strided(
                data[begin:], (height, width), (stride, 1), writeable=False
            )
            if begin + (height - 1) * stride + width > data.size:
                raise CameraLost(f"{self._name}: sent {data.size} bytes, too few; restart the camera")
            made.append(rows)
        return Planes(*made)

    def close(self) -> None:
        """Stop the camera."""
        self._pipeline.close()


class NvEncoder:
    """One encoder of the block, for pictures of one size."""

    def __init__(self, options: NvencOptions, width: int, height: int, fps: float) -> None:
        rate = Fraction(fps).limit_denominator(1001)
        size = f"width={width},height={height},framerate={rate.numerator}/{rate.denominator}"
        caps = f"video/x-raw,format=I420,{size}"
        interval = max(1, round(fps * options.keyframe_interval_s))
        self._pipeline = Pipeline(
            f"appsrc name=in is-live=true format=time block=false max-buffers={DEEPEST} caps={caps} ! "
            f"{ENCODE.format(bitrate=options.bitrate, interval=interval)} ! h264parse config-interval=-1 ! "
            "video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=out sync=false",
            "encoder driver 'nvenc'",
        )
        self._in: Any = self._pipeline.pipeline.get_by_name("in")
        self._begun: int | None = None
        self._pipeline.start()

    def encode(self, planes: Planes, captured_ns: int, *, keyframe: bool) -> EncodedPicture | None:
        """Encode one picture and wait for it; raises EncoderFailed."""
        self._begun = captured_ns if self._begun is None else self._begun
        if keyframe:
            asked = GstVideo.video_event_new_upstream_force_key_unit(Gst.CLOCK_TIME_NONE, True, 0)
            self._pipeline.out.send_event(asked)
        picture = Gst.Buffer.new_wrapped(planes.i420().tobytes())
        picture.pts = max(0, captured_ns - self._begun)
        if self._in.push_buffer(picture) != Gst.FlowReturn.OK:
            raise EncoderFailed(f"nvenc: {self._pipeline.complaint()}; restart the camera")
        sample = self._pipeline.sample(WITHIN_S)
        if sample is None:
            raise EncoderFailed(f"nvenc: {self._pipeline.complaint()}; restart the camera")
        buffer = sample.get_buffer()
        key = not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT)
        return EncodedPicture(buffer.extract_dup(0, buffer.get_size()), key)

    def close(self) -> None:
        """Stop the block."""
        self._pipeline.close()


@asynccontextmanager
async def open_camera(options: ArgusOptions) -> AsyncIterator[ArgusCamera]:
    """Start the camera; raises SourceNotFound or DriverUnavailable."""
    camera = await asyncio.to_thread(ArgusCamera, options)
    try:
        yield camera
    finally:
        await asyncio.to_thread(camera.close)


@asynccontextmanager
async def open_encoder(
    options: NvencOptions, width: int, height: int, fps: float
) -> AsyncIterator[NvEncoder]:
    """Start the block for pictures of `width` x `height`; raises DriverUnavailable."""
    encoder = await asyncio.to_thread(NvEncoder, options, width, height, fps)
    try:
        yield encoder
    finally:
        await asyncio.to_thread(encoder.close)
