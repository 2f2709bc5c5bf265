"""Programs that a bench runs with the camera's own Python; each prints what it found as its last line."""

VIVID = """
import asyncio, sys
from firmware.config.drivers import V4l2Options
from firmware.drivers.camera_v4l2 import open_camera

async def main():
    options = V4l2Options(driver="v4l2", device=sys.argv[1], width=640, height=360, fps=30)
    seen = []
    async with open_camera(options) as camera:
        for _ in range(10):
            frame = camera.capture()
            seen.append((frame.seq, frame.captured_ns, frame.timeline, int(frame.planes.y.std())))
            frame.release()
    stamps = [at for _, at, _, _ in seen]
    assert [n for n, *_ in seen] == list(range(10)), seen
    assert stamps == sorted(set(stamps)), seen
    assert min(spread for *_, spread in seen) > 10, "a picture of bars is not one colour"
    print("frames", len(seen), f"{camera.info.width}x{camera.info.height}")

asyncio.run(main())
"""
"""Frames of the kernel's virtual camera through the very driver of a USB camera."""

PICAMERA2 = """
import mmap, sys, types

sys.path.insert(0, sys.argv[1])
# What previews, photographs and thread names need; a camera has none of it.
class Stub(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Stub(name)
for name in "kms pykms pidng pidng.core pidng.defs pidng.camdefs piexif prctl simplejpeg".split():
    sys.modules[name] = Stub(name)

import libcamera
import picamera2
from picamera2 import Picamera2
from picamera2.allocators import LibcameraAllocator

# The virtual pipeline has no sensor: no raw pictures, and buffers of its own.
allocator = LibcameraAllocator(None)
# Nor does it say how much of a buffer it has filled: a buffer is mapped whole.
class Whole:
    def __init__(self, allocator, buffer, write):
        self._planes = buffer.planes
    def __enter__(self):
        self._map = mmap.mmap(self._planes[0].fd, sum(plane.length for plane in self._planes))
        return self._map
    def __exit__(self, *_):
        self._map.close()
allocator.sync = Whole
# On its way out picamera2 takes the heap of a Pi's kernel, which this one has not.
picamera2.picamera2.DmaAllocator = lambda: LibcameraAllocator(None)
def modes(self):
    allocator.camera = self.camera
    told = self.camera.generate_configuration([libcamera.StreamRole.VideoRecording]).at(0).formats
    pairs = [(f, size) for f in told.pixel_formats for size in told.sizes(f)]
    return [{"format": str(f), "size": (size.width, size.height)} for f, size in pairs]
Picamera2._get_raw_modes = modes

from firmware.config.drivers import Picamera2Options
from firmware.drivers import camera_picamera2
from firmware.drivers.camera_picamera2 import PiCamera

# Configured twice, at first with a format that it has not, it often stops after its first picture.
camera_picamera2.FORMATS = ("NV12",)
sizes = {"width": 640, "height": 360, "fps": 30.0, "lores_width": 320}
options = Picamera2Options.model_construct(driver="picamera2", camera=0, buffers=4, **sizes)
camera = PiCamera(options, allocator)
seen, held = [], []
for _ in range(30):
    frame = camera.capture()
    seen.append((frame.seq, frame.captured_ns, frame.timeline, float(frame.planes.y.std())))
    assert frame.planes.y.shape == (360, 640) and frame.planes.u.shape == (180, 320), frame.planes.y.shape
    assert frame.lores is not None and frame.lores.y.shape == (180, 320)
    assert not frame.planes.y.flags.owndata, "a view of the camera's own buffer"
    held.append(frame)
    if len(held) == 2:
        held.pop(0).release()
for frame in held:
    frame.release()
camera.close()
assert [n for n, *_ in seen] == list(range(30)), seen
assert [at for _, at, *_ in seen] == sorted({at for _, at, *_ in seen}), seen
assert min(spread for *_, spread in seen) > 10, "a picture of bars is not one colour"
print("frames", len(seen), "libcamera", libcamera.CameraManager.singleton().version.split("+")[0])
"""
"""Frames of picamera2 itself, on libcamera's virtual pipeline, through the very driver of a Pi's camera."""

COST = """
import asyncio, os, sys, time
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
from firmware.binding import bind_detectors
from firmware.config.drivers import OnnxOptions, X264Options
from firmware.config.model import ModelCache, default_cache
from firmware.config.profile import LookProfile
from firmware.core.frames import Planes
from firmware.core.geometry import Box
from firmware.core.moment import Moment
from firmware.core.raw import DetectorPicture
from firmware.drivers.encoder_x264 import open_encoder

def spent(work, times):
    work()
    begun = time.thread_time_ns()
    for _ in range(times):
        work()
    return (time.thread_time_ns() - begun) / times / 1e6

async def main():
    told = []
    noise = np.random.default_rng(1)
    for size in ("full", "small"):
        look = LookProfile(size=size)
        for one in bind_detectors([OnnxOptions(driver="onnx")], look, ModelCache(default_cache())).detectors:
            picture = noise.integers(0, 255, (one.sight.height, one.sight.width, 3), np.uint8)
            whole = Box(0, 0, one.sight.width, one.sight.height)
            shown = DetectorPicture(picture, Moment(0, 0, 0, 0), whole)
            async with one.opens() as detector:
                found = spent(lambda: detector.detect(shown), 3)
            told.append(f"{one.model} {one.sight.width}x{one.sight.height}={found:.0f}")
    y = np.tile(np.arange(1280, dtype=np.uint8), (720, 1))
    c = np.full((360, 640), 128, np.uint8)
    async with open_encoder(X264Options(driver="x264"), 1280, 720, 30) as encoder:
        n = iter(range(1000))
        def encode():
            k = next(n)
            encoder.encode(Planes(np.roll(y, 4 * k, 1), c, c), k * 33333333, keyframe=not k)
        told.append(f"x264 1280x720={spent(encode, 6):.0f}")
    print("; ".join(dict.fromkeys(told)))

asyncio.run(main())
"""
"""Thread time of a look and of an encoded picture: in the emulated machine nanoseconds are instructions."""
