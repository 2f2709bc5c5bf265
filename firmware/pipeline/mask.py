"""The one place that turns a raw frame into a redacted one: solid fill over regions, or over everything.

Solid fill is the default because public pixels then do not depend on what is hidden; mosaic and blur are
partly reversible (McPherson et al., 2016, "Defeating Image Obfuscation with Deep Learning").
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from firmware.core.frames import Planes, RedactedFrame, Region, Verdict
from firmware.core.geometry import Box
from firmware.core.raw import RawFrame


@dataclass(frozen=True, slots=True)
class Fill:
    """The colour of a mask in limited-range YUV."""

    y: int = 58
    u: int = 132
    v: int = 126


@dataclass(frozen=True, slots=True)
class Masker:
    """Makes redacted frames."""

    fill: Fill = Fill()

    def mask(self, frame: RawFrame, regions: Sequence[Region], verdict: Verdict) -> RedactedFrame:
        """Return a copy of the picture with `regions` filled; a blind verdict fills all of it.

        The result shares no memory with `frame`, which stays leased to the caller.
        """
        planes = frame.planes
        i420 = np.empty((planes.height * 3 // 2, planes.width), np.uint8)
        target = Planes.of(i420)
        if verdict is Verdict.BLIND:
            self._fill_all(target)
            regions = ()
        else:
            for source, copy in zip(
                (planes.y, planes.u, planes.v), (target.y, target.u, target.v), strict=True
            ):
                np.copyto(copy, source)
            regions = tuple(self._fill_region(target, region) for region in regions)
        return RedactedFrame(i420, frame.captured_ns, frame.seq, verdict, regions)

    def _fill_all(self, target: Planes) -> None:
        target.y.fill(self.fill.y)
        target.u.fill(self.fill.u)
        target.v.fill(self.fill.v)

    def _fill_region(self, target: Planes, region: Region) -> Region:
        box = on_even_pixels(region, target.width, target.height)
        x, y, w, h = int(box.x), int(box.y), int(box.w), int(box.h)
        target.y[y : y + h, x : x + w] = self.fill.y
        target.u[y // 2 : (y + h) // 2, x // 2 : (x + w) // 2] = self.fill.u
        target.v[y // 2 : (y + h) // 2, x // 2 : (x + w) // 2] = self.fill.v
        return box


def on_even_pixels(box: Box, width: int, height: int) -> Box:
    """Return the smallest box on even pixels, inside the picture, that holds `box` (4:2:0 shares chroma)."""
    clipped = box.clipped(width, height)
    # Rounded before they are halved: half of the smallest number there is would be nothing.
    x0, y0 = math.floor(clipped.x) // 2 * 2, math.floor(clipped.y) // 2 * 2
    x1, y1 = -(-math.ceil(clipped.right) // 2) * 2, -(-math.ceil(clipped.bottom) // 2) * 2
    return Box(x0, y0, x1 - x0, y1 - y0)
