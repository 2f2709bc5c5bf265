"""A Raspberry Pi camera through picamera2: two pictures of each instant, both leased, neither copied.

`main` is the full picture, `lores` the detectors' smaller one; the ISP makes both. Frames are views of the
request's buffers, rows without their padding; the request goes back to the camera with the last lease.
Exposure against flicker and in low light is libcamera's own (its tuning file of the sensor). Where the
pipeline offers no YUV420, as libcamera's virtual one does not, NV12 is taken: its chroma is views too, of
every second byte.

Source: The Picamera2 Library (Raspberry Pi Ltd), "Requests"; libcamera, controls::SensorTimestamp. Shown with
a double of picamera2; with picamera2 0.3.38 itself on libcamera 0.4.0's virtual pipeline, which stops with
more than four buffers, and often where it was configured twice (hil/programs.py); and on no camera.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import numpy as np
from picamera2 import MappedArray, Picamera2

from firmware.config.drivers import Picamera2Options
from firmware.core.frames import Plane, Planes
from firmware.core.moment import SourceClock
from firmware.core.raw import RawFrame
from firmware.errors import CameraLost, SourceCorrupt, SourceNotFound
from firmware.ports import CameraInfo

WITHIN_S = 3.0
"""A camera that delivers nothing for so long is gone."""
FORMATS = ("YUV420", "NV12")
LOOK = "check its cable, and look with: rpicam-hello --list-cameras"


class PiCamera:
    """One camera; `capture` runs in the capture thread, releases in any."""

    def __init__(self, options: Picamera2Options, allocator: Any = None) -> None:
        self._name = f"camera {options.camera}"
        self._buffers, self._held, self._lock = options.buffers, 0, threading.Lock()
        if options.camera >= len(Picamera2.global_camera_info()):
            raise SourceNotFound(f"{self._name}: there is none; {LOOK}")
        try:
            self._camera = Picamera2(options.camera, **({"allocator": allocator} if allocator else {}))
        except RuntimeError as exc:
            raise SourceNotFound(f"{self._name}: {exc}; is another program using it? {LOOK}") from exc
        try:
            self._layouts = self._configure(options)
            self._camera.start()
        except RuntimeError as exc:
            self._camera.close()
            raise SourceNotFound(f"{self._name}: {exc}; {LOOK}") from exc
        main = self._layouts["main"]
        self.info = CameraInfo(main.width, main.height, options.fps, f"Raspberry Pi {self._name}")
        self._seq, self._clock = 0, SourceClock()

    def _configure(self, options: Picamera2Options) -> "dict[str, Layout]":
        """Choose the format, and return how both pictures lie in memory."""
        height = round(options.lores_width * options.height / options.width / 2) * 2
        small = (min(options.lores_width, options.width), min(height, options.height))
        duration = round(1e6 / options.fps)
        failure: Exception | None = None
        for name in FORMATS:
            config = self._camera.create_video_configuration(
                main={"size": (options.width, options.height), "format": name},
                lores={"size": small, "format": name},
                buffer_count=options.buffers,
                controls={"FrameDurationLimits": (duration, duration)},
            )
            try:
                self._camera.configure(config)
            except (RuntimeError, ValueError) as exc:
                failure = exc
                continue
            layouts = {one: Layout(self._camera.stream_configuration(one)) for one in ("main", "lores")}
            if all(layout.format == name for layout in layouts.values()):
                return layouts
        self._camera.close()
        raise SourceCorrupt(
            f"{self._name}: gives none of {', '.join(FORMATS)} in {options.width}x{options.height}"
            f"{f' ({failure})' if failure else ''}; choose another size in the board file"
        )

    def capture(self) -> RawFrame:
        """Wait for the next request and lease it; raises CameraLost."""
        job = self._camera.capture_request(wait=False)
        try:
            request = job.get_result(timeout=WITHIN_S)
        except TimeoutError as exc:
            raise self._lost() from exc
        now = time.monotonic_ns()
        seq, self._seq = self._seq, self._seq + 1
        stamp = request.get_metadata().get("SensorTimestamp")
        at = self._clock.moment(seq, None if stamp is None else int(stamp), now)
        with self._lock:
            self._held += 1
        opened = ExitStack()
        opened.callback(self._returned, request)
        with opened:
            pictures = {
                name: layout.planes(opened.enter_context(_mapped(request, name)))
                for name, layout in self._layouts.items()
            }
            kept = opened.pop_all()
        return RawFrame(
            pictures["main"],
            at.captured_ns,
            seq,
            lores=pictures["lores"],
            on_release=lambda: _closed(kept),
            arrived_ns=now,
            timeline=at.timeline,
        )

    def _returned(self, request: Any) -> None:
        request.release()
        with self._lock:
            self._held -= 1

    def _lost(self) -> CameraLost:
        with self._lock:
            held = self._held
        if held >= self._buffers - 1:
            return CameraLost(
                f"{self._name}: all {self._buffers} buffers are held; give more `buffers` in the board file"
            )
        return CameraLost(f"{self._name}: no picture for {WITHIN_S:g} s; {LOOK}")

    def close(self) -> None:
        """Stop the camera and give it back."""
        # A capture that was given up still stands in the queue, and stopping would wait behind it.
        self._camera.cancel_all_and_flush()
        self._camera.stop()
        self._camera.close()


def _mapped(request: Any, name: str) -> Any:
    return MappedArray(request, name, reshape=False, write=False)


def _closed(kept: ExitStack) -> None:
    # A mapping that somebody's view still points into is let go with that view.
    with contextlib.suppress(BufferError):
        kept.close()


class Layout:
    """How the pictures of one stream lie in memory: rows of `stride` bytes, of which `width` are pixels."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.format = str(told["format"])
        self.width, self.height = (int(n) for n in told["size"])
        self.stride = int(told["stride"])

    def planes(self, mapped: Any) -> Planes:
        """Return views of a request's buffer; raises CameraLost where it is too small."""
        data: Plane = np.asarray(mapped.array, np.uint8).reshape(-1)
        rows, stride, width = self.height, self.stride, self.width
        if data.size < rows * stride * 3 // 2:
            raise CameraLost(f"camera sent {data.size} bytes for {width}x{rows}; restart the camera")
        luma = data[: rows * stride].reshape(rows, stride)[:, :width]
        rest = data[rows * stride : rows * stride * 3 // 2]
        if self.format == "NV12":
            chroma = rest.reshape(rows // 2, stride)[:, :width]
            return Planes(luma, chroma[:, 0::2], chroma[:, 1::2])
        half = rest.reshape(2, rows // 2, stride // 2)[:, :, : width // 2]
        return Planes(luma, half[0], half[1])


@asynccontextmanager
async def open_camera(options: Picamera2Options) -> AsyncIterator[PiCamera]:
    """Open and start the camera; raises SourceNotFound or SourceCorrupt."""
    camera = await asyncio.to_thread(PiCamera, options)
    try:
        yield camera
    finally:
        await asyncio.to_thread(camera.close)
