"""The camera and encoder drivers, each with what stands in for its hardware, for their contracts."""

import importlib
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from firmware.config.drivers import (
    ArgusOptions,
    FileOptions,
    NvencOptions,
    Picamera2Options,
    SceneOptions,
    V4l2m2mOptions,
    X264Options,
)
from firmware.drivers import camera_file, camera_scene, encoder_v4l2m2m, encoder_x264
from firmware.ports import Camera, Encoder
from tests.drivers import fake_picamera2
from tests.drivers.clips import write_clip

SYSTEM = Path("/usr/lib/python3/dist-packages")
WIDTH, HEIGHT = 328, 240
"""A width that nobody's rows have without padding."""


@contextmanager
def system_packages() -> Iterator[None]:
    """Let the system's own Python packages be found last, as a venv for a camera does."""
    sys.path.append(str(SYSTEM))
    try:
        with warnings.catch_warnings():
            # gi's importer is older than this Python, which warns.
            warnings.simplefilter("ignore", ImportWarning)
            yield
    finally:
        sys.path.remove(str(SYSTEM))


def jetson(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the Jetson's drivers on this machine's GStreamer, with elements that it has."""
    with system_packages():
        try:
            made = importlib.import_module("firmware.drivers.jetson")
        except (ImportError, ValueError) as exc:
            pytest.skip(f"GStreamer's Python is not for this Python: {exc}")
    monkeypatch.setattr(made, "SOURCE", "videotestsrc is-live=true pattern=ball name=source")
    monkeypatch.setattr(
        made, "ON_DEVICE", "video/x-raw,format=NV12,width={width},height={height},framerate={rate}"
    )
    monkeypatch.setattr(made, "CONVERT", "videoconvert")
    monkeypatch.setattr(made, "ENCODE", "videoconvert ! openh264enc bitrate={bitrate} gop-size={interval}")
    return made


def picamera2(monkeypatch: pytest.MonkeyPatch, *formats: str) -> ModuleType:
    """Return the driver on the double of picamera2, which has these formats."""
    for name, value in (("formats", set(formats)), ("busy", False), ("silent", False), ("opened", 0)):
        monkeypatch.setattr(fake_picamera2.Picamera2, name, value)
    monkeypatch.setitem(sys.modules, "picamera2", fake_picamera2)
    monkeypatch.delitem(sys.modules, "firmware.drivers.camera_picamera2", raising=False)
    return importlib.import_module("firmware.drivers.camera_picamera2")


@dataclass
class Bound:
    """A driver and how it is opened."""

    opens: Callable[[], AbstractAsyncContextManager[Any]]
    lores: bool = False


def cameras(name: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Bound:
    """Return a camera driver with what stands in for its hardware."""
    size = {"width": WIDTH, "height": HEIGHT, "fps": 30}
    if name == "scene":
        return Bound(lambda: camera_scene.open_camera(SceneOptions(driver="scene", **size)))
    if name == "file":
        clip = folder / "clip.mp4"
        write_clip(clip, width=WIDTH, height=HEIGHT, frames=20)
        return Bound(lambda: camera_file.open_camera(FileOptions(driver="file", path=str(clip))))
    if name == "argus":
        made = jetson(monkeypatch)
        return Bound(lambda: made.open_camera(ArgusOptions(driver="argus", **size)))
    driver = picamera2(monkeypatch, "NV12" if name == "picamera2-nv12" else "YUV420")
    told = Picamera2Options(driver="picamera2", lores_width=150, **size)
    return Bound(lambda: driver.open_camera(told), lores=True)


CAMERAS = ("scene", "file", "argus", "picamera2", "picamera2-nv12")
ENCODERS = ("x264", "v4l2m2m", "nvenc")


@asynccontextmanager
async def encoder(
    name: str, monkeypatch: pytest.MonkeyPatch, width: int = WIDTH, height: int = HEIGHT
) -> AsyncIterator[Encoder]:
    """Open an encoder driver with what stands in for its hardware."""
    if name == "x264":
        opens = encoder_x264.open_encoder(X264Options(driver="x264"), width, height, 30)
    elif name == "nvenc":
        opens = jetson(monkeypatch).open_encoder(NvencOptions(driver="nvenc"), width, height, 30)
    else:
        block(monkeypatch)
        opens = encoder_v4l2m2m.open_encoder(V4l2m2mOptions(driver="v4l2m2m"), width, height, 30)
    async with opens as made:
        yield made


def block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have libx264 answer for the block: one picture in, one out, a keyframe where one is asked for."""
    import av  # noqa: PLC0415 - what is put in its place

    real = av.CodecContext.create

    def create(name: str, mode: str) -> Any:
        context = real("libx264", mode)
        context.options = {"tune": "zerolatency", "preset": "ultrafast", "forced-idr": "1"}
        return context

    monkeypatch.setattr(encoder_v4l2m2m.av, "CodecContext", SimpleNamespace(create=create))


__all__ = ["CAMERAS", "ENCODERS", "Bound", "Camera", "block", "cameras", "encoder", "jetson", "picamera2"]
