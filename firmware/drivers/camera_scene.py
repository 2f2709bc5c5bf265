"""A built-in camera: people with a real face walk through a drawn hall.

The face is NASA's portrait of Eileen Collins (public domain), brought by set-up from the scikit-image
package; see models/astronaut.toml. Where everybody is at frame n stands in `core.scene`.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from firmware.config.drivers import SceneOptions
from firmware.config.model import ModelCache, default_cache
from firmware.config.portrait import portrait
from firmware.core.frames import Plane, Planes
from firmware.core.pace import Pace
from firmware.core.raw import RawFrame
from firmware.core.scene import OUTLINE, WALKERS, placed, write_number
from firmware.ports import CameraInfo


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A person in planar YUV 4:2:0 with a mask (0 or 255) for luma and one for chroma."""

    planes: Planes
    luma_mask: Plane
    chroma_mask: Plane


class SceneCamera:
    """Draws the scene at an even pace."""

    def __init__(self, options: SceneOptions, portrait: npt.NDArray[np.uint8]) -> None:
        self.info = CameraInfo(options.width, options.height, options.fps, "built-in scene")
        self._background = _i420(_hall(options.width, options.height))
        sides = [int(placed(w, 0, options.fps, options.width, options.height).w) for w in WALKERS]
        self._sprites = [_sprite(portrait, side) for side in sides]
        self._pace = Pace(round(1e9 / options.fps))
        self._next = 0

    def capture(self) -> RawFrame:
        """Wait until the next frame is due and draw it."""
        due = self._pace.next_due(time.monotonic_ns())
        time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
        n = self._next
        self._next += 1
        return RawFrame(Planes.of(self.draw(n)), due, n)

    def draw(self, n: int) -> Plane:
        """Return frame n as I420, shape (h * 3 / 2, w)."""
        i420 = self._background.copy()
        target = Planes.of(i420)
        info = self.info
        for walker, sprite in zip(WALKERS, self._sprites, strict=True):
            at = placed(walker, n, info.fps, info.width, info.height)
            _paste(target, sprite, int(at.x), int(at.y))
        write_number(target.y, n)
        return i420


def _paste(target: Planes, sprite: Sprite, x: int, y: int) -> None:
    _paste_plane(target.y, sprite.planes.y, sprite.luma_mask, x, y)
    _paste_plane(target.u, sprite.planes.u, sprite.chroma_mask, x // 2, y // 2)
    _paste_plane(target.v, sprite.planes.v, sprite.chroma_mask, x // 2, y // 2)


def _paste_plane(target: Plane, source: Plane, mask: Plane, x: int, y: int) -> None:
    x0, y0 = max(0, x), max(0, y)
    x1, y1 = min(target.shape[1], x + source.shape[1]), min(target.shape[0], y + source.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))
    cv2.copyTo(source[part], mask[part], target[y0:y1, x0:x1])


def _sprite(portrait: npt.NDArray[np.uint8], side: int) -> Sprite:
    scaled = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    outline = np.array(OUTLINE, np.float32) * (side / portrait.shape[0])
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 255, lineType=cv2.LINE_8)
    chroma = cv2.resize(mask, (side // 2, side // 2), interpolation=cv2.INTER_NEAREST)
    return Sprite(Planes.of(_i420(np.asarray(scaled, np.uint8))), mask, np.asarray(chroma, np.uint8))


def _hall(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Draw an empty hall with a floor, a window, a door and a counter, BGR."""
    picture = np.zeros((height, width, 3), np.uint8)
    floor = int(height * 0.7)
    shade = np.linspace(0.82, 1.0, floor)[:, None, None]
    picture[:floor] = (shade * np.array([196, 206, 208])).astype(np.uint8)
    shade = np.linspace(0.62, 1.0, height - floor)[:, None, None]
    picture[floor:] = (shade * np.array([122, 140, 158])).astype(np.uint8)
    _rectangle(picture, (0.06, 0.14, 0.20, 0.36), (224, 196, 150))
    _rectangle(picture, (0.155, 0.14, 0.008, 0.36), (150, 158, 160))
    _rectangle(picture, (0.80, 0.20, 0.13, 0.50), (92, 116, 138))
    _rectangle(picture, (0.815, 0.45, 0.012, 0.02), (60, 190, 210))
    _rectangle(picture, (0.0, 0.69, 1.0, 0.012), (150, 160, 164))
    for share in np.linspace(-1.0, 2.0, 25):
        start = (int(width * (0.5 + (share - 0.5) * 0.6)), int(height * 0.702))
        cv2.line(picture, start, (int(width * share), height), (112, 128, 146), 1, cv2.LINE_AA)
    _rectangle(picture, (0.16, 0.775, 0.80, 0.018), (70, 92, 116))
    _rectangle(picture, (0.17, 0.793, 0.78, 0.16), (96, 124, 150))
    return picture


def _rectangle(picture: npt.NDArray[np.uint8], share: tuple[float, ...], bgr: tuple[int, int, int]) -> None:
    height, width = picture.shape[:2]
    x, y, w, h = share
    corner = (int(x * width), int(y * height))
    cv2.rectangle(picture, corner, (int((x + w) * width), int((y + h) * height)), bgr, -1)


def _i420(bgr: npt.NDArray[np.uint8]) -> Plane:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420), np.uint8)


@asynccontextmanager
async def open_camera(options: SceneOptions) -> AsyncIterator[SceneCamera]:
    """Open the scene; raises ModelError where set-up has not brought the portrait."""
    picture = await asyncio.to_thread(portrait, ModelCache(default_cache()))
    yield await asyncio.to_thread(SceneCamera, options, picture)
