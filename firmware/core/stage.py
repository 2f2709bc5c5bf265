"""Draws the built-in scene: an empty hall, and people cut out of the portrait put into it."""

from dataclasses import dataclass

import cv2
import numpy as np

from firmware.core.frames import Plane, Planes
from firmware.core.scene import OUTLINE


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A person in planar YUV 4:2:0 with a mask (0 or 255) for luma and one for chroma."""

    planes: Planes
    luma_mask: Plane
    chroma_mask: Plane


def paste(target: Planes, sprite: Sprite, x: int, y: int) -> None:
    """Put a person into a picture, the portrait's top left corner at even x and y; outside is cut."""
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


def sprite(portrait: Plane, side: int) -> Sprite:
    """Cut the person out of the portrait, BGR (512, 512, 3), scaled to an even `side`."""
    scaled = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    outline = np.array(OUTLINE, np.float32) * (side / portrait.shape[0])
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 255, lineType=cv2.LINE_8)
    chroma = cv2.resize(mask, (side // 2, side // 2), interpolation=cv2.INTER_NEAREST)
    return Sprite(Planes.of(i420_of(np.asarray(scaled, np.uint8))), mask, np.asarray(chroma, np.uint8))


def hall(width: int, height: int) -> Plane:
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


def _rectangle(picture: Plane, share: tuple[float, ...], bgr: tuple[int, int, int]) -> None:
    height, width = picture.shape[:2]
    x, y, w, h = share
    corner = (int(x * width), int(y * height))
    cv2.rectangle(picture, corner, (int((x + w) * width), int((y + h) * height)), bgr, -1)


def i420_of(bgr: Plane) -> Plane:
    """Return a BGR picture as I420, shape (h * 3 / 2, w)."""
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420), np.uint8)
