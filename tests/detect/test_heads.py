"""Heads against tensors made by hand: one cell speaks, and the box is where arithmetic says."""

import numpy as np
import pytest

from firmware.core.frames import Kind
from firmware.core.heads.blazeface import BlazeFace, anchors
from firmware.core.heads.centerface import CenterFace
from firmware.core.heads.nanodet import NanoDet, expectation
from firmware.core.heads.network import HEADS, Network, letterbox
from firmware.core.heads.yunet import YuNet
from firmware.core.suppress import suppress
from firmware.errors import DetectorFailed

W, H = 64, 32


def silent_yunet() -> dict[str, np.ndarray]:
    out = {}
    for stride in (8, 16, 32):
        n = (W // stride) * (H // stride)
        out |= {f"{name}_{stride}": np.zeros((1, n, 1), np.float32) for name in ("cls", "obj")}
        out[f"bbox_{stride}"] = np.zeros((1, n, 4), np.float32)
    return out


def test_yunet_reads_cell_offset_and_size() -> None:
    out = silent_yunet()
    cell = 1 * (W // 16) + 2  # row 1, column 2 of stride 16
    out["cls_16"][0, cell] = 0.81
    out["obj_16"][0, cell] = 1.0
    out["bbox_16"][0, cell] = [0.5, -0.25, np.log(2), np.log(1.5)]
    found = YuNet().decode(out, W, H, 0.5)
    np.testing.assert_allclose(found.boxes, [[40 - 16, 12 - 12, 32, 24]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.9], atol=1e-5)


def test_yunet_below_threshold_is_silent() -> None:
    out = silent_yunet()
    out["cls_8"][0, 3] = out["obj_8"][0, 3] = 0.2
    assert len(YuNet().decode(out, W, H, 0.25).boxes) == 0


def test_centerface_has_height_before_width() -> None:
    maps = {
        name: np.zeros((1, n, H // 4, W // 4), np.float32) for name, n in (("537", 1), ("538", 2), ("539", 2))
    }
    maps["537"][0, 0, 3, 5] = 0.7
    maps["538"][0, :, 3, 5] = np.log([5, 2])
    maps["539"][0, :, 3, 5] = [0.25, 0.5]
    found = CenterFace().decode(maps, W, H, 0.2)
    x, y = (5 + 0.5 + 0.5) * 4, (3 + 0.25 + 0.5) * 4
    np.testing.assert_allclose(found.boxes, [[x - 4, y - 10, 8, 20]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.7])


def test_blazeface_anchors_are_those_of_mediapipe() -> None:
    centres = anchors(256, 256)
    assert centres.shape == (896, 2)
    np.testing.assert_array_equal(centres[[0, 1, 2, 32, 511]], [[8, 8], [8, 8], [24, 8], [8, 24], [248, 248]])
    np.testing.assert_array_equal(centres[[512, 517, 518, 895]], [[16, 16], [16, 16], [48, 16], [240, 240]])


def test_blazeface_box_is_relative_to_its_anchor() -> None:
    regressors = np.zeros((1, 896, 16), np.float32)
    logits = np.full((1, 896, 1), -100, np.float32)
    regressors[0, 34, :4] = [4, -2, 40, 30]
    logits[0, 34] = 0
    found = BlazeFace().decode({"regressors": regressors, "classificators": logits}, 256, 256, 0.5)
    np.testing.assert_allclose(found.boxes, [[24 + 4 - 20, 24 - 2 - 15, 40, 30]])
    np.testing.assert_allclose(found.scores, [0.5])


def silent_nanodet(bins: int) -> dict[str, np.ndarray]:
    out = {}
    for stride in (8, 16, 32):
        n = (W // stride) * (H // stride)
        out[f"scores_{stride}"] = np.zeros((1, n, 80), np.float32)
        out[f"boxes_{stride}"] = np.zeros((1, n, 4 * bins), np.float32)
    return out


@pytest.mark.parametrize("bins", [8, 11])
def test_nanodet_box_is_the_mean_of_its_bins(bins: int) -> None:
    out = silent_nanodet(bins)
    cell = 2 * (W // 8) + 3
    out["scores_8"][0, cell, 0] = 0.6
    logits = out["boxes_8"][0, cell].reshape(4, bins)
    for side, far in enumerate((1, 2, 3, 1)):
        logits[side, far] = 50
    found = NanoDet().decode(out, W, H, 0.3)
    np.testing.assert_allclose(found.boxes, [[28 - 8, 20 - 16, 8 + 24, 16 + 8]], atol=1e-3)


def test_nanodet_hears_of_people_alone() -> None:
    out = silent_nanodet(11)
    out["scores_16"][0, 0, 1:] = 0.99
    assert len(NanoDet().decode(out, W, H, 0.3).boxes) == 0


def test_expectation_of_equal_logits_is_the_middle() -> None:
    np.testing.assert_allclose(expectation(np.zeros((2, 4, 11), np.float32)), np.full((2, 4), 5.0))


def test_suppression_keeps_the_better_of_two_and_what_is_apart() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 10, 10], [30, 0, 10, 10], [5, 5, 0, 0]], np.float32)
    kept = suppress(boxes, np.array([0.5, 0.9, 0.3, 0.2], np.float32), 0.4)
    assert kept.tolist() == [1, 2, 3]


@pytest.mark.parametrize("name", HEADS)
def test_inputs_have_the_layout_and_order_of_colours_the_network_takes(name: str) -> None:
    blue = np.zeros((32, 64, 3), np.uint8)
    blue[:, :, 0] = 255
    tensor = HEADS[name].preprocess(blue)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    channels = tensor[0].reshape(-1, 3).T if name == "blazeface" else tensor[0].reshape(3, -1)
    assert int(channels.mean(axis=1).argmax()) == (0 if name in ("yunet", "nanodet") else 2)


def test_letterbox_keeps_the_aspect_and_boxes_come_back() -> None:
    picture = np.full((100, 400, 3), 200, np.uint8)
    network = Network(YuNet(), Kind.FACE, (W, H), 0.5)
    prepared = network.prepare(picture)
    assert prepared.tensor.shape == (1, 3, H, W)
    assert prepared.scale == W / 400
    assert prepared.tensor[0, 0, 16:].max() == 0
    out = silent_yunet()
    out["cls_8"][0, 0] = out["obj_8"][0, 0] = 1
    out["bbox_8"][0, 0] = [1, 1, np.log(1), np.log(1)]
    (found,) = network.detections(out, prepared)
    assert (found.box.x, found.box.y, found.box.w, found.box.h) == (25, 25, 50, 50)


def test_any_size_is_filled_up_to_the_grid_without_scaling() -> None:
    picture = np.full((33, 65, 3), 7, np.uint8)
    prepared = Network(YuNet(), Kind.FACE, None, 0.5).prepare(picture)
    assert prepared.tensor.shape == (1, 3, 64, 96)
    assert prepared.tensor[0, 0, :33, :65].min() == 7
    assert letterbox(picture, 65, 33, 1.0) is picture


def test_boxes_that_overflow_stay_in_the_picture() -> None:
    out = silent_yunet()
    out["cls_8"][0, 0] = out["obj_8"][0, 0] = 1
    out["bbox_8"][0, 0] = [0, 0, 1e9, 1e9]
    network = Network(YuNet(), Kind.FACE, (W, H), 0.5)
    prepared = network.prepare(np.zeros((H, W, 3), np.uint8))
    assert all(d.box.right <= W and d.box.bottom <= H for d in network.detections(out, prepared))


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_network_that_gives_no_number_has_failed_and_not_seen_nobody(broken: float) -> None:
    network = Network(HEADS["yunet"], Kind.FACE, (W, H), 0.3)
    prepared = network.prepare(np.zeros((H, W, 3), np.uint8))
    out = silent_yunet()
    assert network.detections(out, prepared) == []
    out["obj_16"][0, 1] = broken
    with pytest.raises(DetectorFailed, match="not a finite number"):
        network.detections(out, prepared)
