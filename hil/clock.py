"""Reads the clock of a bench's screen out of a camera's picture: a Gray code between four markers.

A tick is 16 ms, about what a screen shows one picture for: from one to the next, one block changes, so that
a picture exposed in between reads as either. Source: F. Gray, US patent 2632058 (the code); the markers are
OpenCV's DICT_4X4_50.
"""

import cv2
import numpy as np

from firmware.core.frames import Plane

UNIT_MS = 16
BITS = 16
WIDTH, HEIGHT = 1280, 720
BLOCKS = BITS + 2
LEFT, TOP, STEP = 0.1 * WIDTH, 0.5 * HEIGHT, 0.8 * WIDTH / BLOCKS
LEAST = 60
"""How much brighter white has to be than black."""


def marker(number: int) -> bytes:
    """Return one corner's marker as a PNG."""
    drawn = cv2.aruco.generateImageMarker(_dictionary(), number, 6)
    return bytes(cv2.imencode(".png", drawn)[1])


def screen(picture: Plane) -> Plane | None:
    """Return the screen in a picture (BGR), made straight, 1280x720; None where not all markers are found."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    corners, numbers, _ = cv2.aruco.ArucoDetector(_dictionary()).detectMarkers(grey)
    found = dict(zip(numbers.ravel().tolist(), corners, strict=True)) if corners else {}
    if not {0, 1, 2, 3} <= set(found):
        return None
    # Each marker's corner n lies nearest to the sheet's corner n; round it is a white edge of 1.2 vmin.
    seen = np.array([found[n].reshape(4, 2)[n] for n in range(4)], np.float32)
    edge = 0.012 * HEIGHT
    right, bottom = WIDTH - edge, HEIGHT - edge
    straight = np.array([(edge, edge), (right, edge), (right, bottom), (edge, bottom)], np.float32)
    return np.asarray(
        cv2.warpPerspective(picture, cv2.getPerspectiveTransform(seen, straight), (WIDTH, HEIGHT)), np.uint8
    )


def ticks(straight: Plane) -> int | None:
    """Return what the clock says, in units of 16 ms modulo 2^16; None where it is not to be read."""
    grey = cv2.cvtColor(straight, cv2.COLOR_BGR2GRAY)
    half = round(STEP / 5)
    middles = [round(LEFT + STEP * (n + 0.5)) for n in range(BLOCKS)]
    top = round(TOP)
    light = [float(grey[top - half : top + half, x - half : x + half].mean()) for x in middles]
    black, white = light[:2]
    if white - black < LEAST:
        return None
    gray = 0
    for one in light[2:]:
        gray = gray << 1 | (one > (black + white) / 2)
    value = 0
    while gray:
        value, gray = value ^ gray, gray >> 1
    return value


def age_ms(read: int, now_ms: float) -> float:
    """Return how long ago a clock said that."""
    whole = UNIT_MS << BITS
    return (now_ms - read * UNIT_MS) % whole


def _dictionary() -> cv2.aruco.Dictionary:
    return cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
