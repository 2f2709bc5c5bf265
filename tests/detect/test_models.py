"""Every real model finds the one real face, or the person, at sizes it is meant for, where it is."""

import cv2
import numpy as np
import pytest

from firmware.core.frames import Kind, Plane
from firmware.core.geometry import Box, iou
from tests.detect.conftest import Finds

pytestmark = pytest.mark.models

FACE = Box(180, 62, 90, 112)
"""Where the face is in the picture of 512 x 512, as three models agree."""

FACES = [
    ("yunet", "onnx", (640, 384), (48, 128, 384)),
    ("yunet-s", "onnx", (640, 384), (64, 128, 384)),
    ("centerface", "onnx", (640, 384), (64, 128, 384)),
    ("blazeface-back", "tflite", (256, 256), (96, 160, 256)),
]
PEOPLE = ["nanodet-g", "yolox-body-head", "yolox-person"]
SIZES = [(416, 256), (640, 384), (416, 416)]
HEAD = Box(160, 20, 135, 175)
"""Where the head is: hair, ears and chin."""


def pasted(picture: Plane, side: int, width: int, height: int) -> tuple[Plane, float, int, int]:
    """Return the picture `side` pixels large on a grey one, its scale and its place."""
    canvas = np.full((height, width, 3), 90, np.uint8)
    x, y = (width - side) // 2, height - side
    canvas[y:, x : x + side] = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return canvas, side / 512, x, y


@pytest.mark.parametrize(("name", "key", "size", "sides"), FACES, ids=[f[0] for f in FACES])
def test_face_is_found_at_every_size(
    name: str, key: str, size: tuple[int, int], sides: tuple[int, ...], astronaut: Plane, finds: Finds
) -> None:
    scenes = [pasted(astronaut, side, *size) for side in sides]
    for (_, scale, x, y), found in zip(scenes, finds(name, key, [s[0] for s in scenes], size), strict=True):
        wanted = FACE.scaled(scale, scale).moved(x, y)
        assert max((iou(d.box, wanted) for d in found), default=0) > 0.45, (scale, found)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", PEOPLE)
def test_person_is_found(name: str, size: tuple[int, int], astronaut: Plane, finds: Finds) -> None:
    canvas, scale, x, y = pasted(astronaut, size[1] * 3 // 4, *size)
    (found,) = finds(name, "onnx", [canvas], size)
    best = max((d for d in found if d.kind is Kind.PERSON), key=lambda d: d.score)
    assert iou(best.box, Box(10, 14, 350, 497).scaled(scale, scale).moved(x, y)) > 0.7


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_head_is_found(size: tuple[int, int], astronaut: Plane, finds: Finds) -> None:
    canvas, scale, x, y = pasted(astronaut, size[1] * 3 // 4, *size)
    (found,) = finds("yolox-body-head", "onnx", [canvas], size)
    best = max((d for d in found if d.kind is Kind.HEAD), key=lambda d: d.score)
    assert iou(best.box, HEAD.scaled(scale, scale).moved(x, y)) > 0.6


@pytest.mark.parametrize("name", ["yunet", "yunet-s", "centerface"])
def test_any_size_finds_a_small_face_in_a_large_picture(name: str, astronaut: Plane, finds: Finds) -> None:
    canvas, scale, x, y = pasted(astronaut, 128, 1100, 510)
    (found,) = finds(name, "onnx", [canvas])
    assert max(iou(d.box, FACE.scaled(scale, scale).moved(x, y)) for d in found) > 0.5


@pytest.mark.parametrize("name", [face[0] for face in FACES] + PEOPLE)
def test_grey_noise_is_nobody(name: str, finds: Finds) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (384, 640, 1), np.uint8).repeat(3, axis=2)
    key, size = ("tflite", (256, 256)) if name == "blazeface-back" else ("onnx", (640, 384))
    assert finds(name, key, [noise], size) == [[]]
