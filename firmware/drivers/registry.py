"""The closed table of drivers: a board file names an entry, never an import path.

An unknown name and a missing package are two different errors.
"""

import importlib
from collections.abc import Mapping
from types import MappingProxyType, ModuleType

from firmware.errors import DriverUnavailable, UnknownDriver

CAMERAS: Mapping[str, str] = MappingProxyType(
    {
        "scene": "firmware.drivers.camera_scene",
        "file": "firmware.drivers.camera_file",
        "v4l2": "firmware.drivers.camera_v4l2",
        "rtsp": "firmware.drivers.camera_rtsp",
        "picamera2": "firmware.drivers.camera_picamera2",
        "argus": "firmware.drivers.jetson",
    }
)
"""Each module has `open_camera(options) -> AbstractAsyncContextManager[Camera]`."""

DETECTORS: Mapping[str, str] = MappingProxyType(
    {
        "onnx": "firmware.drivers.detector_onnx",
        "tflite": "firmware.drivers.detector_tflite",
        "edgetpu": "firmware.drivers.detector_edgetpu",
        "tensorrt": "firmware.drivers.detector_tensorrt",
    }
)
"""Each module has `open_detector(options, model) -> AbstractAsyncContextManager[Detector]`."""

ENCODERS: Mapping[str, str] = MappingProxyType(
    {
        "x264": "firmware.drivers.encoder_x264",
        "v4l2m2m": "firmware.drivers.encoder_v4l2m2m",
        "nvenc": "firmware.drivers.jetson",
    }
)
"""Each module has `open_encoder(options, width, height, fps) -> Encoder`."""

LAMPS: Mapping[str, str] = MappingProxyType({"led": "firmware.drivers.lamp_led"})
"""Each module has `open_lamp(options) -> Lamp`."""

PACKAGES: Mapping[str, str] = MappingProxyType(
    {
        "ai_edge_litert": "ai-edge-litert",
        "tflite_runtime": "tflite-runtime",
        "cv2": "opencv-python-headless",
    }
)
"""Where a package is not called what is imported."""

SYSTEM: Mapping[str, str] = MappingProxyType(
    {
        "picamera2": "apt install python3-picamera2",
        "libcamera": "apt install python3-libcamera",
        "gi": "apt install python3-gi gir1.2-gst-plugins-base-1.0",
    }
)
"""What belongs to the system's own Python, and how it is installed there."""


def _needs(imported: str) -> str:
    """Say what a driver needs, and how to get it."""
    if imported in SYSTEM:
        return (
            f"needs the package {imported!r} of the system: sudo {SYSTEM[imported]}, and a venv that sees it "
            "(scripts/install makes one)"
        )
    package = PACKAGES.get(imported, imported)
    return f"needs the package {package!r}; install it with: pip install {package}"


def load(kind: str, table: Mapping[str, str], name: str) -> ModuleType:
    """Import one driver's module.

    Raises:
        UnknownDriver: the table has no such name.
        DriverUnavailable: its package is missing.
    """
    if name not in table:
        raise UnknownDriver(f"no {kind} driver is called {name!r}; choose one of {', '.join(table)}")
    module_name = table[name]
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.startswith("firmware"):
            raise  # our own mistake, not the installer's
        imported = exc.name.partition(".")[0]
        raise DriverUnavailable(f"{kind} driver {name!r} {_needs(imported)}") from exc
    except ImportError as exc:
        raise DriverUnavailable(f"{kind} driver {name!r} cannot be loaded on this machine: {exc}") from exc
