"""The mask: what is under a region is gone, what is not stays as it was, and nothing of the face remains."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firmware.core.frames import Plane, Planes, Region, Verdict
from firmware.core.geometry import Box
from firmware.core.raw import RawFrame
from firmware.pipeline.mask import Masker, on_even_pixels

W, H = 64, 48
FILL = Masker().fill

numbers = st.floats(-80, 140, allow_nan=False)
sizes = st.floats(0, 90, allow_nan=False)
boxes = st.builds(Box, numbers, numbers, sizes, sizes)


def noise(seed: int) -> Plane:
    return np.random.default_rng(seed).integers(100, 255, (H * 3 // 2, W), dtype=np.uint8)


def frame(i420: Plane) -> RawFrame:
    return RawFrame(Planes.of(i420), 1, 1)


def under(box: Box) -> np.ndarray:
    """Return which luma pixels a box touches, at all."""
    mask = np.zeros((H, W), bool)
    c = box.clipped(W, H)
    if c.area > 0:
        mask[int(np.floor(c.y)) : int(np.ceil(c.bottom)), int(np.floor(c.x)) : int(np.ceil(c.right))] = True
    return mask


@given(regions=st.lists(boxes, max_size=5), seed=st.integers(0, 9))
def test_every_touched_pixel_is_filled_and_no_other_is_changed(regions: list[Box], seed: int) -> None:
    source = noise(seed)
    before = source.copy()
    made = Masker().mask(frame(source), regions, Verdict.VERIFIED)
    planes, original = Planes.of(made.i420), Planes.of(before)
    touched = np.zeros((H, W), bool)
    for region in regions:
        touched |= under(region)
    told = np.zeros((H, W), bool)
    for region in made.regions:
        told |= under(region)
    assert (planes.y[touched] == FILL.y).all()
    assert ((planes.y == FILL.y) == told).all(), "regions say exactly what was hidden"
    assert (planes.y[~told] == original.y[~told]).all()
    chroma = told[::2, ::2]
    assert (planes.u[chroma] == FILL.u).all()
    assert (planes.v[chroma] == FILL.v).all()
    assert (planes.u[~chroma] == original.u[~chroma]).all()
    assert (source == before).all(), "the raw frame is not written to"


@given(region=boxes, seed=st.integers(0, 9))
def test_public_pixels_do_not_depend_on_what_is_hidden(region: Region, seed: int) -> None:
    one = noise(seed)
    first = Masker().mask(frame(one), [region], Verdict.PREDICTED)
    hidden = Planes.of(first.i420).y == FILL.y
    other = one.copy()
    planes = Planes.of(other)
    planes.y[hidden] = 255 - planes.y[hidden]
    second = Masker().mask(frame(other), [region], Verdict.PREDICTED)
    assert (first.i420 == second.i420).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_blind_frames_are_all_the_same(seed: int) -> None:
    one = Masker().mask(frame(noise(seed)), [Box(0, 0, 4, 4)], Verdict.BLIND)
    other = Masker().mask(frame(noise(seed + 1)), [], Verdict.BLIND)
    assert (one.i420 == other.i420).all()
    assert one.regions == ()


def test_result_shares_no_memory_with_the_camera() -> None:
    source = noise(3)
    made = Masker().mask(frame(source), [], Verdict.VERIFIED)
    assert not np.shares_memory(made.i420, source)


@given(box=boxes)
@example(box=Box(-1.0, -1.0, 1.0 + 5e-324, 1.0))
@example(box=Box(0.0, 0.0, 5e-324, 5e-324))
def test_even_box_holds_the_clipped_box(box: Box) -> None:
    even, clipped = on_even_pixels(box, W, H), box.clipped(W, H)
    assert even.x <= clipped.x
    assert even.y <= clipped.y
    assert even.right >= clipped.right
    assert even.bottom >= clipped.bottom
    assert all(value % 2 == 0 for value in (even.x, even.y, even.w, even.h))
    assert 0 <= even.x <= even.right <= W
    assert 0 <= even.y <= even.bottom <= H
