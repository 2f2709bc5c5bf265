"""What the detectors find in one picture of the built-in scene, one line; benches run this program too."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import asyncio

import cv2
import numpy as np

from firmware.binding import BoundDetector, bind_detectors
from firmware.config.drivers import OnnxOptions, SceneOptions
from firmware.config.model import ModelCache, default_cache
from firmware.config.portrait import portrait
from firmware.config.profile import LookProfile
from firmware.core.frames import Plane
from firmware.core.geometry import Box
from firmware.core.moment import Moment
from firmware.core.raw import DetectorPicture
from firmware.drivers.camera_scene import SceneCamera


async def looks() -> str:
    """Return what the chain of the package registries sees, which every machine can have."""
    cache = ModelCache(default_cache())
    options = SceneOptions(driver="scene", width=640, height=384, fps=5)
    scene = SceneCamera(options, portrait(cache))
    bgr = np.asarray(cv2.cvtColor(scene.draw(3), cv2.COLOR_YUV2BGR_I420), np.uint8)
    bound = bind_detectors([OnnxOptions(driver="onnx")], LookProfile(size="small", chain="registry"), cache)
    found = [line for one in bound.detectors for line in await _seen(one, bgr)]
    return "; ".join(sorted(found)) or "nothing"


async def faces(bgr: Plane) -> list[str]:
    """Return the faces that the same chain finds in a picture."""
    bound = bind_detectors(
        [OnnxOptions(driver="onnx")], LookProfile(chain="registry"), ModelCache(default_cache())
    )
    found = [line for one in bound.detectors for line in await _seen(one, bgr)]
    return [line for line in found if " FACE " in line]


async def _seen(one: BoundDetector, bgr: Plane) -> list[str]:
    picture = np.asarray(cv2.resize(bgr, (one.sight.width, one.sight.height)), np.uint8)
    height, width = picture.shape[:2]
    async with one.opens() as detector:
        found = detector.detect(DetectorPicture(picture, Moment(0, 0, 0, 0), Box(0, 0, width, height)))
    return [
        f"{one.model} {d.kind.name} {d.box.x:.0f} {d.box.y:.0f} {d.box.w:.0f} {d.box.h:.0f} {d.score:.2f}"
        for d in found
    ]


if __name__ == "__main__":
    print(asyncio.run(looks()))
