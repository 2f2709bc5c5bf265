"""A built-in camera: people with a real face walk through a drawn hall.

The face is NASA's portrait of Eileen Collins (public domain), brought by set-up from the scikit-image
package; see models/astronaut.toml. Where everybody is at frame n stands in `core.scene`.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from firmware.config.drivers import SceneOptions
from firmware.config.model import ModelCache, default_cache
from firmware.config.portrait import portrait
from firmware.core.frames import Plane, Planes
from firmware.core.pace import Pace
from firmware.core.raw import RawFrame
from firmware.core.scene import WALKERS, placed, write_number
from firmware.core.stage import hall, i420_of, paste, sprite
from firmware.ports import CameraInfo


class SceneCamera:
    """Draws the scene at an even pace."""

    def __init__(self, options: SceneOptions, portrait: Plane) -> None:
        self.info = CameraInfo(options.width, options.height, options.fps, "built-in scene")
        self._background = i420_of(hall(options.width, options.height))
        sides = [int(placed(w, 0, options.fps, options.width, options.height).w) for w in WALKERS]
        self._sprites = [sprite(portrait, side) for side in sides]
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
        for walker, drawn in zip(WALKERS, self._sprites, strict=True):
            at = placed(walker, n, info.fps, info.width, info.height)
            paste(target, drawn, int(at.x), int(at.y))
        write_number(target.y, n)
        return i420


@asynccontextmanager
async def open_camera(options: SceneOptions) -> AsyncIterator[SceneCamera]:
    """Open the scene; raises ModelError where set-up has not brought the portrait."""
    picture = await asyncio.to_thread(portrait, ModelCache(default_cache()))
    yield await asyncio.to_thread(SceneCamera, options, picture)
