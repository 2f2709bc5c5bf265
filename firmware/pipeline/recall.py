"""How much of the built-in scene's people this version hides on this machine: what an update is held to.

Every detector of the chain looks at the same frames of the scene, whose truth is known (`core.scene`); the
policy says what would be hidden, and who is hidden to the most part counts. It runs beside a camera that
works, at the lowest priority.
"""

from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np

from firmware.core.frames import Detection, Plane, Planes
from firmware.core.geometry import Box
from firmware.core.policy import Policy, Present
from firmware.core.raw import RawFrame
from firmware.core.scene import FACE, OUTLINE, PORTRAIT, WALKERS, placed
from firmware.pipeline.view import Cutter, look
from firmware.pipeline.worker import Worker
from firmware.ports import Detector, OpensDetector

WIDTH, HEIGHT = 1280, 720
FPS = 2.0
FRAMES = 24
"""Twelve seconds: the nearer walker's whole way."""
HIDDEN = 0.8
"""Share of a face or a body that has to be hidden for it to count."""
LOWEST_PRIORITY = 19


async def measure_recall(
    opens: Sequence[OpensDetector], draw: Callable[[int], Plane], policy: Policy
) -> float:
    """Return the share of the scene's faces and people that are hidden, 0 to 1.

    `draw` gives frame n of the scene (I420, 1280 x 720, two frames a second).

    Raises:
        DetectorFailed: a detector cannot be opened, or fails.
    """
    found: list[list[Detection]] = [[] for _ in range(FRAMES)]
    for one in opens:
        async with one() as detector, Worker("veilcam-recall", LOWEST_PRIORITY) as worker:
            cutter = Cutter()
            for n in range(FRAMES):
                found[n] += await worker.start(partial(_seen, detector, cutter, draw, n))
    shares = [share for n in range(FRAMES) for share in _hidden(found[n], policy, n)]
    return sum(share >= HIDDEN for share in shares) / len(shares)


def _seen(detector: Detector, cutter: Cutter, draw: Callable[[int], Plane], n: int) -> list[Detection]:
    return look(detector, cutter.cut(RawFrame(Planes.of(draw(n)), n, n), detector))


def _hidden(found: Sequence[Detection], policy: Policy, n: int) -> list[float]:
    """Return which share of each face and person of frame n is hidden."""
    parts = policy.parts(WIDTH)
    hidden = np.zeros((HEIGHT, WIDTH), np.bool_)
    for box in policy.covers([Present(one.kind, one.box, parts[one.kind](one.box)) for one in found]):
        hidden[_within(box)] = True
    there = []
    for walker in WALKERS:
        at = placed(walker, n, FPS, WIDTH, HEIGHT)
        there.append(hidden[_within(FACE.scaled(at.w / PORTRAIT, at.w / PORTRAIT).moved(at.x, at.y))])
        if policy.bodies:
            there.append(hidden[_silhouette(at)])
    return [float(one.mean()) for one in there if one.size]


def _silhouette(at: Box) -> Plane:
    """Return where a walker's body is: (h, w), of truth values. Much of the box around it is the hall."""
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    outline = np.array(OUTLINE) * at.w / PORTRAIT + (at.x, at.y)
    cv2.fillPoly(drawn, [outline.round().astype(np.int32)], 1)
    return drawn.astype(np.bool_)


def _within(box: Box) -> tuple[slice, slice]:
    inside = box.clipped(WIDTH, HEIGHT)
    return slice(round(inside.y), round(inside.bottom)), slice(round(inside.x), round(inside.right))
