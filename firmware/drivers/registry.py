"""The closed table of drivers: a board file names an entry, never an import path.

An unknown name and a missing package are two different errors. Entries whose value is `LATER` have their
options and board files; their bodies come with a later release and choosing one says so.
"""

import importlib
from collections.abc import Mapping
from types import MappingProxyType, ModuleType

from firmware.errors import DriverUnavailable, UnknownDriver

LATER = ""
"""Marks a driver without a body in this release."""

CAMERAS: Mapping[str, str] = MappingProxyType(
    {
        "scene": "firmware.drivers.camera_scene",
        "file": "firmware.drivers.camera_file",
        "v4l2": "firmware.drivers.camera_v4l2",
        "rtsp": "firmware.drivers.camera_rtsp",
        "picamera2": LATER,
        "argus": LATER,
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

ENCODERS: Mapping[str, str] = MappingProxyType({"x264": "firmware.drivers.encoder_x264", "v4l2m2m": LATER})
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


def load(kind: str, table: Mapping[str, str], name: str) -> ModuleType:
    """Import one driver's module.

    Raises:
        UnknownDriver: the table has no such name.
        DriverUnavailable: its package is missing, or its body comes with a later release.
    """
    if name not in table:
        raise UnknownDriver(f"no {kind} driver is called {name!r}; choose one of {', '.join(table)}")
    module_name = table[name]
    if module_name == LATER:
        raise DriverUnavailable(
            f"{kind} driver {name!r} comes with a later release; choose another board or {kind} for now"
        )
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.startswith("firmware"):
            raise  # our own mistake, not the installer's
        imported = exc.name.partition(".")[0]
        package = PACKAGES.get(imported, imported)
        raise DriverUnavailable(
            f"{kind} driver {name!r} needs the package {package!r}; install it with: pip install {package}"
        ) from exc
    except ImportError as exc:
        raise DriverUnavailable(f"{kind} driver {name!r} cannot be loaded on this machine: {exc}") from exc
