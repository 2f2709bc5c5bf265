"""Video4Linux without a device: what can be shown here is the error and the Motion JPEG decoder.

That frames flow from a real or virtual device is not shown by these tests: test machines have none.
"""

import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import pairwise
from typing import cast

import av
import numpy as np
import pytest
from linuxpy.video.device import Format, PixelFormat, VideoCapture

from firmware.config.drivers import V4l2Options
from firmware.core import damage
from firmware.core.damage import Damage, DamagedError
from firmware.core.moment import SourceClock
from firmware.drivers.camera_v4l2 import LAYOUTS, Layout, MotionJpeg, V4l2Camera, _choose_format, open_camera
from firmware.errors import CameraLost, SourceCorrupt, SourceNotFound
from firmware.ports import CameraInfo


async def test_no_such_device() -> None:
    with pytest.raises(SourceNotFound, match=r"/dev/video99: .*plug the camera in"):
        async with open_camera(V4l2Options(driver="v4l2", device="/dev/video99")):
            pass


async def test_device_that_is_no_camera() -> None:
    with pytest.raises(SourceNotFound, match="/dev/null"):
        async with open_camera(V4l2Options(driver="v4l2", device="/dev/null")):
            pass


def jpeg(width: int, height: int) -> np.ndarray:
    context = av.CodecContext.create("mjpeg", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuvj422p"
    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), (30, 90, 200), np.uint8), format="bgr24")
    (packet,) = context.encode(frame.reformat(format="yuvj422p"))
    return np.frombuffer(bytes(packet), np.uint8)


def test_motion_jpeg_becomes_limited_range_planes() -> None:
    planes = MotionJpeg()(jpeg(64, 48), 64, 48)
    assert planes.y.shape == (48, 64)
    bgr = np.array([30, 90, 200])
    luma = 16 + (bgr * (24.97, 128.55, 65.48)).sum() / 255
    assert abs(float(planes.y.mean()) - luma) < 3


def test_motion_jpeg_that_is_damaged_or_resized_costs_one_picture_alone() -> None:
    good, unpack = jpeg(64, 48), MotionJpeg()
    whole = unpack(good, 64, 48)
    for bad in (np.zeros(100, np.uint8), good[: good.size // 2], good[: good.size * 9 // 10], jpeg(32, 32)):
        with pytest.raises(DamagedError):
            unpack(bad, 64, 48)
        again = unpack(good, 64, 48)
        assert (again.y == whole.y).all()
    with pytest.raises(DamagedError, match="another size"):
        unpack(jpeg(32, 32), 64, 48)


class PaddedRows:
    """A device that takes every format in `gives`, pads its rows by `padding` bytes and adds to the width."""

    def __init__(self, padding: int, gives: set[PixelFormat], wider: int = 0) -> None:
        self._padding, self._gives, self._wider = padding, gives, wider
        self._format = Format(64, 48, PixelFormat.GREY, 0, 0)

    def set_format(self, width: int, height: int, pixel_format: PixelFormat) -> None:
        width += self._wider
        if pixel_format in self._gives:
            row = width * (2 if pixel_format is PixelFormat.YUYV else 1) + self._padding
            self._format = Format(width, height, pixel_format, row * height, row)

    def get_format(self) -> Format:
        return self._format


def test_padded_rows_are_not_taken_for_pixels() -> None:
    options = V4l2Options(driver="v4l2")
    plain = {PixelFormat.YUV420, PixelFormat.NV12, PixelFormat.YUYV}
    for pixel_format in plain:
        _choose_format(cast("VideoCapture", PaddedRows(0, {pixel_format})), options)
    with pytest.raises(SourceCorrupt, match="none of the formats"):
        _choose_format(cast("VideoCapture", PaddedRows(64, plain)), options)
    padded = cast("VideoCapture", PaddedRows(64, {*plain, PixelFormat.MJPEG}))
    assert isinstance(_choose_format(padded, options), MotionJpeg)


def test_odd_widths_are_not_taken() -> None:
    plain = {PixelFormat.YUV420, PixelFormat.NV12, PixelFormat.YUYV}
    with pytest.raises(SourceCorrupt, match="none of the formats"):
        _choose_format(cast("VideoCapture", PaddedRows(0, plain, wider=1)), V4l2Options(driver="v4l2"))


class OneFrame:
    """A driver's buffer, as linuxpy hands it out."""

    def __init__(self, data: bytes, timestamp: float) -> None:
        self.data, self.timestamp = data, timestamp


def camera_that_sends(frames: Iterable[OneFrame], layout: Layout, width: int, height: int) -> V4l2Camera:
    """Return a camera past its opening: everything but the device is real."""
    camera = object.__new__(V4l2Camera)
    camera._name, camera._seq, camera._clock = "/dev/video0", 0, SourceClock()
    camera._unpack, camera._bytes = layout.unpack(), layout.picture_bytes(width, height)
    camera.info = CameraInfo(width, height, 30, "/dev/video0")
    camera._last, camera._damage = None, Damage(camera._name, time.monotonic_ns())
    camera._frames = iter(frames)  # type: ignore[arg-type]
    return camera


@pytest.mark.parametrize("pixel_format", [PixelFormat.YUV420, PixelFormat.NV12, PixelFormat.YUYV])
@pytest.mark.parametrize("padding", [-48, 16, 48 * 16])
def test_pictures_padded_otherwise_than_reported_are_left_out(
    pixel_format: PixelFormat, padding: int
) -> None:
    layout = LAYOUTS[pixel_format]
    size = layout.picture_bytes(64, 48)
    assert size is not None
    sizes = [size, size + padding, size + padding, size]
    frames = [OneFrame(bytes(n), 10.0 + i / 25) for i, n in enumerate(sizes)]
    camera = camera_that_sends(frames, layout, 64, 48)
    told = [camera.capture() for _ in range(2)]
    assert [(frame.seq, frame.skipped, frame.damaged) for frame in told] == [(0, 0, False), (1, 2, False)]


def test_a_camera_that_sends_nothing_but_damage_is_blind_and_then_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(damage, "BLIND_AFTER_NS", 0)
    good, short = jpeg(64, 48).tobytes(), jpeg(64, 48).tobytes()[:500]
    frames = [OneFrame(data, 10.0 + n / 25) for n, data in enumerate([good, *[short] * 5])]
    camera = camera_that_sends(frames, LAYOUTS[PixelFormat.MJPEG], 64, 48)
    told = [camera.capture() for _ in range(4)]
    assert [frame.damaged for frame in told] == [False, True, True, True]
    assert [frame.timeline for frame in told] == [0, None, None, None]
    assert all(a.captured_ns < b.captured_ns for a, b in pairwise(told))
    monkeypatch.setattr(damage, "GIVE_UP_NS", 0)
    with pytest.raises(CameraLost, match=r"no good picture for .* check its cable"):
        camera.capture()


SPOILS = {
    "short": lambda data: data[: len(data) // 50],
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "another's": lambda data: bytes(jpeg(32, 32)),
    "text": lambda data: b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS.keys())
def test_damaged_motion_jpeg_is_passed_over(spoil: Callable[[bytes], bytes]) -> None:
    """One picture in three comes in pieces: the others come, in order."""
    whole = bytes(jpeg(64, 48))
    frames = [OneFrame(spoil(whole) if n % 3 == 1 else whole, 10 + n / 30) for n in range(60)]
    camera = camera_that_sends(frames, LAYOUTS[PixelFormat.MJPEG], 64, 48)
    got = [camera.capture() for _ in range(40)]
    assert [frame.seq for frame in got] == list(range(40))
    assert all(after.captured_ns > before.captured_ns for before, after in pairwise(got))
    with pytest.raises(CameraLost, match="is gone"):
        camera.capture()


def test_frames_are_stamped_by_the_buffers_time() -> None:
    layout = LAYOUTS[PixelFormat.NV12]
    picture = bytes(layout.picture_bytes(64, 48) or 0)
    camera = camera_that_sends([OneFrame(picture, 10.0 + n / 25) for n in range(3)], layout, 64, 48)
    moments = [camera.capture().moment for _ in range(3)]
    steps = [b.captured_ns - a.captured_ns for a, b in pairwise(moments)]
    assert steps == pytest.approx([40_000_000, 40_000_000], abs=50_000)
