"""Tampering is told from measures of the built-in scene, and nothing that is none."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from firmware.config.drivers import SceneOptions
from firmware.config.model import ModelCache
from firmware.config.portrait import portrait
from firmware.core.frames import Plane
from firmware.core.stage import hall, i420_of
from firmware.core.tampering import (
    ACCEPTED,
    COLUMNS,
    LASTS,
    LEARN,
    ROWS,
    Measured,
    Tampering,
    Watch,
    measured,
)
from firmware.drivers.camera_scene import SceneCamera

WIDTH, HEIGHT = 1280, 720


def empty() -> Plane:
    return i420_of(hall(WIDTH, HEIGHT))[:HEIGHT]


def shifted(luma: Plane, dx: int, dy: int) -> Plane:
    moved = np.float32([[1, 0, dx], [0, 1, dy]])  # type: ignore[arg-type]
    return np.asarray(cv2.warpAffine(luma, moved, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT), np.uint8)


def learnt(luma: Plane) -> Watch:
    watch, one = Watch(), measured(luma)
    for _ in range(2 * LEARN):
        assert watch.look(one) is Tampering.NONE
    return watch


def after(watch: Watch, luma: Plane, looks: int = LASTS) -> Tampering:
    one = measured(luma)
    for _ in range(looks):
        watch.look(one)
    return watch.told


DONE: dict[str, tuple[Callable[[Plane], Plane], Tampering]] = {
    "a hand on it": (lambda luma: np.full_like(luma, 20), Tampering.COVERED),
    "a sheet before it": (lambda luma: np.full_like(luma, 180), Tampering.COVERED),
    "a thick cloth": (lambda luma: (luma // 12 + 16).astype(np.uint8), Tampering.COVERED),
    "out of focus": (
        lambda luma: np.asarray(cv2.GaussianBlur(luma, (0, 0), 14), np.uint8),
        Tampering.DEFOCUSED,
    ),
    "turned aside": (lambda luma: shifted(luma, 160, 0), Tampering.MOVED),
    "turned down": (lambda luma: shifted(luma, 0, -100), Tampering.MOVED),
    "turned upside down": (lambda luma: luma[::-1, ::-1].copy(), Tampering.MOVED),
    "nothing": (lambda luma: luma, Tampering.NONE),
    "less light": (lambda luma: (luma * 0.6).astype(np.uint8), Tampering.NONE),
    "more light": (lambda luma: np.clip(luma * 1.3, 16, 235).astype(np.uint8), Tampering.NONE),
    "a nudge of a few pixels": (lambda luma: shifted(luma, 3, 2), Tampering.NONE),
}


@pytest.mark.parametrize("done", DONE)
def test_what_is_done_to_the_camera_is_told_and_its_end_too(done: str) -> None:
    does, expected = DONE[done]
    luma = empty()
    watch = learnt(luma)
    assert after(watch, does(luma), LASTS - 1) is Tampering.NONE, "not before it has lasted"
    assert after(watch, does(luma), 3 * LASTS) is expected
    assert after(watch, luma, 4 * LASTS) is Tampering.NONE


@pytest.mark.models
def test_people_who_walk_through_are_not_tampering(model_cache: ModelCache) -> None:
    options = SceneOptions(driver="scene", width=WIDTH, height=HEIGHT, fps=1.0)
    camera = SceneCamera(options, portrait(model_cache))
    watch = Watch()
    for n in range(180):
        assert watch.look(measured(camera.draw(n)[:HEIGHT])) is Tampering.NONE, n
    for n in range(180, 200):
        watch.look(measured(shifted(camera.draw(n)[:HEIGHT], 160, 0)))
    assert watch.told is Tampering.MOVED


def test_what_has_changed_for_good_becomes_normal() -> None:
    luma = empty()
    watch = learnt(luma)
    assert after(watch, shifted(luma, 160, 0), ACCEPTED) is Tampering.MOVED
    assert after(watch, shifted(luma, 160, 0), 4 * LASTS) is Tampering.NONE


def test_what_is_kept_is_numbers_that_hold_no_picture() -> None:
    watch = learnt(empty())
    kept = {name: value for name, value in vars(watch).items() if isinstance(value, np.ndarray)}
    assert {name: value.shape for name, value in kept.items()} == {
        "_edges": (COLUMNS + ROWS,),
        "_recent": (COLUMNS + ROWS,),
    }
    assert [name for name, kind in Measured.__annotations__.items() if kind is not float] == ["edges"]
