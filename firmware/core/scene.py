"""The built-in scene as numbers: where its people are at frame n, and how the frame number is written in.

The picture is drawn by `drivers.camera_scene`; tests compute from here what must be hidden.
"""

import math
from dataclasses import dataclass

from firmware.core.frames import Detection, Kind, Plane
from firmware.core.geometry import Box

PORTRAIT = 512
"""Side of the portrait the people are made of, in pixels."""

FACE = Box(176, 78, 98, 110)
"""The face in the portrait: hairline to chin, cheek to cheek."""

HEAD = Box(140, 14, 165, 180)
"""The head in the portrait, hair included."""

OUTLINE: tuple[tuple[int, int], ...] = (
    (22, 511), (22, 440), (40, 290), (78, 238), (114, 212), (113, 188), (126, 163), (156, 150), (182, 146),
    (170, 124), (154, 98), (155, 68), (166, 42), (192, 20), (226, 14), (262, 22), (290, 46), (301, 82),
    (292, 112), (272, 132), (264, 160), (258, 176), (284, 196), (304, 236), (330, 256), (350, 280),
    (362, 345), (392, 344), (432, 350), (470, 366), (490, 402), (496, 440), (505, 470), (505, 511),
)  # fmt: skip
"""The person in the portrait, without the background."""


def holds() -> list[tuple[Kind, Box]]:
    """Return what is in the portrait, and where, in its pixels."""
    xs, ys = zip(*OUTLINE, strict=True)
    body = Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    return [(Kind.FACE, FACE), (Kind.HEAD, HEAD), (Kind.PERSON, body)]


@dataclass(frozen=True, slots=True)
class Walker:
    """Someone who walks to and fro.

    Height of the portrait, rest position (x of the centre, y of the bottom) and half the length of the walk
    in shares of the picture; its period in seconds, and where in it frame 0 is (0 to 1).
    """

    height: float
    x: float
    bottom: float
    swing: float
    period_s: float
    phase: float


WALKERS = (
    Walker(height=0.30, x=0.60, bottom=0.78, swing=-0.30, period_s=17.0, phase=0.15),
    Walker(height=0.62, x=0.42, bottom=1.0, swing=0.26, period_s=12.0, phase=0.0),
)
"""Far to near, the order in which they are drawn."""


def placed(walker: Walker, n: int, fps: float, width: int, height: int) -> Box:
    """Return where the walker's square portrait lies in frame n: even pixels, so that chroma aligns."""
    side = round(walker.height * height / 2) * 2
    turn = 2 * math.pi * (n / fps / walker.period_s + walker.phase)
    x = (walker.x + walker.swing * math.sin(turn)) * width - side / 2
    bob = 0.008 * height * math.sin(4 * turn)
    y = walker.bottom * height - side + max(0.0, bob)
    return Box(round(x / 2) * 2, round(y / 2) * 2, side, side)


def truth(n: int, fps: float, width: int, height: int) -> list[Detection]:
    """Return the faces and people of frame n, in pixels, clipped to the picture."""
    found = []
    for walker in WALKERS:
        at = placed(walker, n, fps, width, height)
        scale = at.w / PORTRAIT
        for kind, box in holds():
            if kind is not Kind.HEAD:
                there = box.scaled(scale, scale).moved(at.x, at.y).clipped(width, height)
                found.append(Detection(kind, there, 1.0))
    return found


BITS = 24
CHECK_BITS = 8
CELL = 16
"""Side of one bit in pixels: a macroblock, so that it survives encoding."""

DARK, BRIGHT = 16, 235


def _word(n: int) -> list[int]:
    low = n % (1 << BITS)
    # No sum of bits: where a lost packet leaves cells as they were, later frames change them bit by bit,
    # number and check alike, and a sum would still fit a number that is off by what was lost.
    mixed = (low + 1) * 0x9E3779B1 & 0xFFFFFFFF
    check = ((mixed ^ mixed >> 15) * 0x846CA68B & 0xFFFFFFFF) >> 24
    return [(low >> bit) & 1 for bit in range(BITS)] + [(check >> bit) & 1 for bit in range(CHECK_BITS)]


def write_number(luma: Plane, n: int) -> None:
    """Write n into the top left corner of a luma plane (h, w): 32 cells of 16 x 16, least bit first."""
    for place, bit in enumerate(_word(n)):
        luma[:CELL, place * CELL : (place + 1) * CELL] = BRIGHT if bit else DARK


def read_number(luma: Plane) -> int | None:
    """Read the number back from decoded luma; None where the check does not fit."""
    half = CELL // 2
    cells = [
        int(luma[half - 3 : half + 3, i * CELL + half - 3 : i * CELL + half + 3].mean()) for i in range(32)
    ]
    bits = [int(cell > (DARK + BRIGHT) // 2) for cell in cells]
    n = sum(bit << place for place, bit in enumerate(bits[:BITS]))
    return n if bits == _word(n) else None
