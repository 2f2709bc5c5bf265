"""The scene's numbers: what is written in survives encoding, and truth stays in the picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.core.frames import Kind
from firmware.core.pace import Pace
from firmware.core.scene import BITS, read_number, truth, write_number


@given(n=st.integers(0, 2**BITS - 1), noise=st.integers(0, 40))
def test_number_survives_noise(n: int, noise: int) -> None:
    luma = np.full((64, 640), 128, np.uint8)
    write_number(luma, n)
    rng = np.random.default_rng(n)
    disturbed = np.clip(luma.astype(int) + rng.integers(-noise, noise + 1, luma.shape), 0, 255)
    assert read_number(disturbed.astype(np.uint8)) == n


def cells(n: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    luma = np.full((64, 640), 128, np.uint8)
    write_number(luma, n)
    return np.asarray(luma[8, 8:512:16] > 128, np.bool_)


def test_a_number_that_a_lost_packet_left_stale_is_not_misread() -> None:
    """Frame b was lost: what changes later changes what frame a had left, cell by cell."""
    misread = 0
    for b in range(1, 400):
        for c in range(b + 1, b + 20):
            stale = cells(c) ^ cells(b - 1) ^ cells(b)
            luma = np.full((64, 640), 128, np.uint8)
            luma[:16, :512] = np.repeat(np.where(stale, 235, 16), 16)
            misread += read_number(luma) not in (None, c)
    assert misread < 399 * 19 / 50


def test_hidden_number_is_not_misread() -> None:
    assert read_number(np.full((64, 640), 58, np.uint8)) is None


@pytest.mark.parametrize("n", range(0, 1200, 37))
def test_truth_is_in_the_picture(n: int) -> None:
    found = truth(n, 30, 1280, 720)
    assert [d.kind for d in found].count(Kind.FACE) == 2
    for detection in found:
        box = detection.box
        assert box.area > 0
        assert box.x >= 0
        assert box.y >= 16
        assert box.right <= 1280
        assert box.bottom <= 720


def test_pace_is_even_and_slips_when_late() -> None:
    pace = Pace(100)
    assert [pace.next_due(0), pace.next_due(10), pace.next_due(150)] == [0, 100, 200]
    assert pace.next_due(1000) == 1000, "a long delay does not make a burst"
    assert pace.next_due(1000) == 1100
