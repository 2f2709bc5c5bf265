"""A double of picamera2: requests that are used again, padded rows, mappings that end with their block."""

import mmap
import threading
import time
from types import TracebackType
from typing import Any, ClassVar

import numpy as np

PAD = 64


class Job:
    def __init__(self, camera: "Picamera2") -> None:
        self._camera = camera

    def get_result(self, timeout: float) -> "Request":
        return self._camera.next(timeout)


class Request:
    def __init__(self, camera: "Picamera2", number: int) -> None:
        self.camera, self.number, self.mapped = camera, number, 0
        self.memory = {name: mmap.mmap(-1, one["framesize"]) for name, one in camera.streams.items()}

    def get_metadata(self) -> dict[str, Any]:
        return {"SensorTimestamp": self.stamp}

    def release(self) -> None:
        assert not self.mapped, "released while its picture is mapped"
        assert self in self.camera.out, "released twice"
        with self.camera.freed:
            self.camera.out.remove(self)
            self.camera.free.append(self)
            self.camera.freed.notify()

    stamp = 0


class MappedArray:
    def __init__(self, request: Request, stream: str, reshape: bool = True, write: bool = True) -> None:
        assert not reshape
        assert not write, "the camera's picture is not written"
        self._request, self._stream = request, stream

    def __enter__(self) -> "MappedArray":
        self._request.mapped += 1
        self.array = np.frombuffer(self._request.memory[self._stream], np.uint8)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._request.mapped -= 1
        del self.array


class Picamera2:
    """One camera that draws its number of the frame into luma, and stripes into chroma."""

    cameras: ClassVar[list[dict[str, Any]]] = [{"Model": "imx708", "Num": 0}]
    formats: ClassVar[set[str]] = {"YUV420"}
    busy: ClassVar[bool] = False
    opened: ClassVar[int] = 0
    silent: ClassVar[bool] = False

    @classmethod
    def global_camera_info(cls) -> list[dict[str, Any]]:
        return cls.cameras

    def __init__(self, number: int) -> None:
        if self.busy:
            raise RuntimeError("Failed to acquire camera: Device or resource busy")
        type(self).opened += 1
        self.streams: dict[str, dict[str, Any]] = {}
        self.freed = threading.Condition()
        self.free: list[Request] = []
        self.out: list[Request] = []
        self._frame = self._waiting = 0

    def create_video_configuration(self, **told: Any) -> dict[str, Any]:
        assert told["controls"]["FrameDurationLimits"][0] > 0
        return told

    def configure(self, config: dict[str, Any]) -> None:
        for name in ("main", "lores"):
            wanted = config[name]
            if wanted["format"] not in self.formats:
                raise RuntimeError(f"Bad configuration: {wanted['format']}")
            width, height = wanted["size"]
            stride = -(-width // PAD) * PAD
            size = {"stride": stride, "framesize": stride * height * 3 // 2}
            self.streams[name] = {**wanted, **size}
        self.free = [Request(self, n) for n in range(config["buffer_count"])]

    def stream_configuration(self, name: str) -> dict[str, Any]:
        return self.streams[name]

    def start(self) -> None: ...

    def cancel_all_and_flush(self) -> None:
        self._waiting = 0

    def stop(self) -> None:
        assert not self._waiting, "waits for ever behind a capture that was given up"

    def close(self) -> None:
        type(self).opened -= 1

    def capture_request(self, wait: bool) -> Job:
        assert not wait
        return Job(self)

    def next(self, timeout: float) -> Request:
        with self.freed:
            if self.silent or not self.freed.wait_for(lambda: self.free, timeout):
                self._waiting += 1
                raise TimeoutError
            request = self.free.pop(0)
            self.out.append(request)
        request.stamp = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        for name, one in self.streams.items():
            data = np.frombuffer(request.memory[name], np.uint8)
            data[:] = 255
            rows, stride, width = one["size"][1], one["stride"], one["size"][0]
            data[: rows * stride].reshape(rows, stride)[:, :width] = self._frame % 200 + 16
            rest = data[rows * stride :]
            if one["format"] == "NV12":
                chroma = rest.reshape(rows // 2, stride)
                chroma[:, 0:width:2], chroma[:, 1:width:2] = 100, 150
            else:
                half = rest.reshape(2, rows // 2, stride // 2)
                half[0, :, : width // 2], half[1, :, : width // 2] = 100, 150
        self._frame += 1
        return request
