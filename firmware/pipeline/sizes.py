"""Shows detectors the scene's person at one size after another, for the benchmark of what they find."""

import random
from collections.abc import Callable, Sequence

from firmware.core.frames import Detection, Kind, Plane, Planes
from firmware.core.geometry import Box, covered, iou
from firmware.core.policy import PEOPLE, Present
from firmware.core.raw import RawFrame
from firmware.core.scene import FACE, PORTRAIT, holds
from firmware.core.stage import hall, i420_of, paste, sprite
from firmware.pipeline.view import Cutter, look
from firmware.ports import Detector

FACES = (8, 9, 10, 11, 12, 14, 16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512)
"""Heights of faces that are tried, in pixels, as far as the picture is high enough."""

TRIES = 24
"""People of each size, in as many pictures as it takes."""

HIDDEN, SAME = 0.9, 0.3


def sizes_for(width: int, height: int) -> list[int]:
    """Return the heights of faces that fit a picture."""
    return [size for size in FACES if _side(size) <= min(width, height)]


def _side(face: int) -> int:
    """Return the side of the portrait whose face is so high."""
    return round(face * PORTRAIT / FACE.h / 2) * 2


class Sizes:
    """Detectors, and an empty hall of one size."""

    def __init__(self, detectors: Sequence[Detector], portrait: Plane, width: int, height: int) -> None:
        self._detectors = detectors
        self._portrait = portrait
        self._hall = i420_of(hall(width, height))
        self._width, self._height = width, height
        self._seq = 0

    def measure(self, progress: Callable[[], None]) -> tuple[dict[int, float], dict[int, float]]:
        """Return by height of a face or body the share that was hidden or found."""
        faces: dict[int, float] = {}
        bodies: dict[int, float] = {}
        high = dict(holds())[Kind.PERSON].h / FACE.h
        for face in sizes_for(self._width, self._height):
            hidden, found = self.shares(face)
            faces[face], bodies[round(face * high)] = hidden, found
            progress()
        return faces, bodies

    def shares(self, face: int) -> tuple[float, float]:
        """Return what share of people with faces so high had their face hidden and their body found."""
        chance, side = random.Random(face), _side(face)  # noqa: S311 - the same places every time
        person = sprite(self._portrait, side)
        hidden = found = tried = 0
        while tried < TRIES:
            i420 = self._hall.copy()
            places = self._places(side, chance)[: TRIES - tried]
            for x, y in places:
                paste(Planes.of(i420), person, x, y)
            seen = self._look(i420)
            regions = PEOPLE.covers([Present(one.kind, one.box, one.box) for one in seen])
            for x, y in places:
                there = {kind: _put(box, side, x, y) for kind, box in holds()}
                hidden += any(covered(there[Kind.FACE], region) >= HIDDEN for region in regions)
                found += any(o.kind is Kind.PERSON and iou(o.box, there[Kind.PERSON]) >= SAME for o in seen)
            tried += len(places)
        return hidden / tried, found / tried

    def _places(self, side: int, chance: random.Random) -> list[tuple[int, int]]:
        """Return corners for people who do not touch each other, anywhere in the picture, in any order."""
        cell = min(side * 5 // 4, self._width, self._height)
        across, down = self._width // cell, self._height // cell
        cells = [(column, row) for row in range(down) for column in range(across)]
        chance.shuffle(cells)
        room_x, room_y = self._width // across - side, self._height // down - side
        return [
            (
                (column * (self._width // across) + chance.randint(0, max(0, room_x))) // 2 * 2,
                (row * (self._height // down) + chance.randint(0, max(0, room_y))) // 2 * 2,
            )
            for column, row in cells
        ]

    def _look(self, i420: Plane) -> list[Detection]:
        self._seq += 1
        frame, cutter = RawFrame(Planes.of(i420), self._seq, self._seq), Cutter()
        return [one for detector in self._detectors for one in look(detector, cutter.cut(frame, detector))]


def _put(box: Box, side: int, x: int, y: int) -> Box:
    return box.scaled(side / PORTRAIT, side / PORTRAIT).moved(x, y)
