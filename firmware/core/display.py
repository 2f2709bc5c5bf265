"""How a decoded picture is to be shown: turned and mirrored by its matrix, on a ground where transparent."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.sidedata.sidedata import SideData

from firmware.core.frames import Plane

MATRIX = struct.Struct("=9i")
"""ISO/IEC 14496-12, tkhd, as FFmpeg hands it on: a b u, c d v, x y w; 16.16, and 2.30 in the last column."""

WIDEST = 4
"""No lens and no recorder makes pixels that are longer; a file can say anything."""

GROUND = 255
"""Grey level that lies below transparent parts: white, as on paper and in most viewers."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Rows and columns exchanged first, then left and right, then top and bottom."""

    transposed: bool = False
    mirrored: bool = False
    flipped: bool = False

    def __call__(self, plane: Plane) -> Plane:
        """Return a plane (h, w) turned; a view where nothing is turned."""
        if self == UPRIGHT:
            return plane
        turned = plane.T if self.transposed else plane
        turned = turned[:, ::-1] if self.mirrored else turned
        return np.ascontiguousarray(turned[::-1] if self.flipped else turned)


UPRIGHT = Turn()


def turn_of(frame: av.VideoFrame) -> Turn:
    """Return what a frame's display matrix asks for, to the nearest quarter turn."""
    told = frame.side_data.get("DISPLAYMATRIX")
    raw = bytes(told) if isinstance(told, SideData) else b""
    return turn_by(MATRIX.unpack(raw)) if len(raw) == MATRIX.size else UPRIGHT


def turn_by(matrix: Sequence[int]) -> Turn:
    """Return the turn of a display matrix of nine numbers: a point goes to x' = ax + cy, y' = bx + dy."""
    a, b, _, c, d = matrix[:5]
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Turn(False, a < 0, d < 0)
    return Turn(True, c < 0, b < 0)


def on_ground(frame: av.VideoFrame) -> av.VideoFrame:
    """Return a frame without transparency: what it would hide does not come to light."""
    if not any(component.is_alpha for component in frame.format.components):
        return frame
    rgba = frame.to_ndarray(format="rgba")
    alpha = rgba[..., 3:].astype(np.uint16)
    shown = (rgba[..., :3] * alpha + GROUND * (255 - alpha) + 127) // 255
    return av.VideoFrame.from_ndarray(shown.astype(np.uint8), format="rgb24")


def squared(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Return the even size in square pixels of a picture whose pixels are `aspect` times as wide as high.

    The longer way is taken, so that nothing is lost, but never beyond four times.
    """
    aspect = min(max(aspect, Fraction(1, WIDEST)), Fraction(WIDEST))
    if aspect >= 1:
        return round(width * aspect / 2) * 2, height
    return width, round(height / aspect / 2) * 2
