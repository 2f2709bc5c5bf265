"""Pixel layouts of cameras become the same planes."""

import av
import numpy as np
import pytest

from firmware.core.frames import Planes
from firmware.core.planar import planes_of, planes_of_nv12, planes_of_yuyv

W, H = 32, 16
Y, U, V = 120, 90, 200


def flat() -> Planes:
    planes = Planes.of(np.empty((H * 3 // 2, W), np.uint8))
    planes.y[:], planes.u[:], planes.v[:] = Y, U, V
    return planes


def same(planes: Planes) -> bool:
    shapes = planes.y.shape == (H, W) and planes.u.shape == planes.v.shape == (H // 2, W // 2)
    return shapes and (planes.y == Y).all() and (planes.u == U).all() and (planes.v == V).all()


def test_yuyv() -> None:
    packed = np.tile(np.array([Y, U, Y, V], np.uint8), W * H // 2)
    assert same(planes_of_yuyv(packed, W, H))


def test_nv12() -> None:
    data = np.concatenate([np.full(W * H, Y, np.uint8), np.tile(np.array([U, V], np.uint8), W * H // 4)])
    assert same(planes_of_nv12(data, W, H))


@pytest.mark.parametrize("layout", ["yuv420p", "yuv444p", "nv12", "yuv422p"])
def test_decoded_frames_of_any_layout(layout: str) -> None:
    i420 = np.vstack([flat().y, flat().u.reshape(-1, W), flat().v.reshape(-1, W)])
    frame = av.VideoFrame.from_ndarray(i420, format="yuv420p").reformat(format=layout)
    assert same(planes_of(frame, W, H))


def test_odd_sizes_are_cut_to_even_ones() -> None:
    frame = av.VideoFrame(33, 17, "yuv420p")
    planes = planes_of(frame, 32, 16)
    assert planes.y.shape == (16, 32)
    assert planes.u.shape == (8, 16)
