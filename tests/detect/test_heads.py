"""Heads against tensors made by hand: one cell speaks, and the box is where arithmetic says."""

import numpy as np
import pytest

from firmware.core.cuts import Sight
from firmware.core.frames import Kind
from firmware.core.geometry import Box
from firmware.core.heads.blazeface import BlazeFace, anchors
from firmware.core.heads.centerface import CenterFace
from firmware.core.heads.found import Wanted
from firmware.core.heads.nanodet import NanoDet, expectation
from firmware.core.heads.network import HEADS, Network, letterbox, on
from firmware.core.heads.yolox import YoloX
from firmware.core.heads.yunet import YuNet
from firmware.core.suppress import suppress
from firmware.errors import DetectorFailed

W, H = 64, 32
FACES = {Kind.FACE: Wanted(0.5)}


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
    found = YuNet().decode(out, W, H, {Kind.FACE: 0.5})[Kind.FACE]
    np.testing.assert_allclose(found.boxes, [[40 - 16, 12 - 12, 32, 24]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.9], atol=1e-5)


def test_yunet_below_threshold_is_silent() -> None:
    out = silent_yunet()
    out["cls_8"][0, 3] = out["obj_8"][0, 3] = 0.2
    assert len(YuNet().decode(out, W, H, {Kind.FACE: 0.25})[Kind.FACE].boxes) == 0


def test_centerface_has_height_before_width() -> None:
    maps = {
        name: np.zeros((1, n, H // 4, W // 4), np.float32) for name, n in (("537", 1), ("538", 2), ("539", 2))
    }
    maps["537"][0, 0, 3, 5] = 0.7
    maps["538"][0, :, 3, 5] = np.log([5, 2])
    maps["539"][0, :, 3, 5] = [0.25, 0.5]
    found = CenterFace().decode(maps, W, H, {Kind.FACE: 0.2})[Kind.FACE]
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
    outputs = {"regressors": regressors, "classificators": logits}
    found = BlazeFace().decode(outputs, 256, 256, {Kind.FACE: 0.5})[Kind.FACE]
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
    found = NanoDet().decode(out, W, H, {Kind.PERSON: 0.3})[Kind.PERSON]
    np.testing.assert_allclose(found.boxes, [[28 - 8, 20 - 16, 8 + 24, 16 + 8]], atol=1e-3)


def test_nanodet_hears_of_people_alone() -> None:
    out = silent_nanodet(11)
    out["scores_16"][0, 0, 1:] = 0.99
    assert len(NanoDet().decode(out, W, H, {Kind.PERSON: 0.3})[Kind.PERSON].boxes) == 0


def silent_yolox(classes: int = 2) -> dict[str, np.ndarray]:
    """Outputs of a network that sees nothing: logits far below zero."""
    out = {}
    for stride in (8, 16, 32):
        cells = (H // stride, W // stride)
        out[f"reg_{stride}"] = np.zeros((1, 4, *cells), np.float32)
        out |= {
            f"{key}_{stride}": np.full((1, n, *cells), -90, np.float32)
            for key, n in (("obj", 1), ("cls", classes))
        }
    return out


def speak(out: dict[str, np.ndarray], stride: int, cell: tuple[int, int], kind: int, score: float) -> None:
    """Have one cell say that there is something of a class, with its score in `obj` alone."""
    row, column = cell
    out[f"obj_{stride}"][0, 0, row, column] = np.log(score / (1 - score))
    out[f"cls_{stride}"][0, kind, row, column] = 90


def test_yolox_reads_cell_offset_and_size_of_each_class() -> None:
    out = silent_yolox()
    speak(out, 16, (1, 2), 0, 0.8)
    out["reg_16"][0, :, 1, 2] = [0.5, -0.25, np.log(2), np.log(1.5)]
    speak(out, 8, (0, 1), 1, 0.4)
    found = YoloX().decode(out, W, H, {Kind.PERSON: 0.5, Kind.HEAD: 0.3})
    np.testing.assert_allclose(found[Kind.PERSON].boxes, [[40 - 16, 12 - 12, 32, 24]], atol=1e-4)
    np.testing.assert_allclose(found[Kind.PERSON].scores, [0.8], atol=1e-5)
    np.testing.assert_allclose(found[Kind.HEAD].boxes, [[8 - 4, 0 - 4, 8, 8]], atol=1e-4)
    np.testing.assert_allclose(found[Kind.HEAD].scores, [0.4], atol=1e-5)


def test_yolox_that_knows_people_alone_is_asked_for_them_alone() -> None:
    out = silent_yolox(1)
    speak(out, 32, (0, 0), 0, 0.6)
    found = YoloX().decode(out, W, H, {Kind.PERSON: 0.5})
    assert [(kind, len(f.boxes)) for kind, f in found.items()] == [(Kind.PERSON, 1)]


@pytest.mark.parametrize(
    ("score", "head", "counts"), [(0.3, True, True), (0.3, False, False), (0.7, False, True)]
)
def test_a_person_without_a_head_needs_a_better_score(score: float, head: bool, counts: bool) -> None:
    network = Network(YoloX(), {Kind.PERSON: Wanted(0.1, headless=0.6), Kind.HEAD: Wanted(0.1)}, Sight(W, H))
    out = silent_yolox()
    speak(out, 32, (0, 1), 0, score)
    out["reg_32"][0, :, 0, 1] = [0, 0.5, 0, 0]  # 32 px about (32, 16): from the top of the picture to its end
    if head:
        speak(out, 8, (0, 4), 1, 0.9)
        out["reg_8"][0, :, 0, 4] = [0, 1, 0, 0]
    found = network.detections(out, network.prepare(np.zeros((H, W, 3), np.uint8)))
    assert (Kind.PERSON in {one.kind for one in found}) == counts


@pytest.mark.parametrize("headless", [0.0, 0.2])
def test_a_speck_without_a_head_is_nobody(headless: float) -> None:
    network = Network(YoloX(), {Kind.PERSON: Wanted(0.1, headless=headless)}, Sight(W, H))
    out = silent_yolox()
    speak(out, 8, (1, 2), 0, 0.9)
    prepared = network.prepare(np.zeros((H, W, 3), np.uint8))
    assert network.detections(out, prepared) == []
    out["reg_8"][0, 2:, 1, 2] = np.log(2)
    assert len(network.detections(out, prepared)) == 1


def test_a_head_is_on_a_body_where_most_of_it_lies_in_the_upper_half() -> None:
    body = Box(100, 100, 100, 300)
    assert on(Box(130, 80, 40, 50), body)
    assert not on(Box(130, 270, 40, 50), body)
    assert not on(Box(190, 110, 60, 60), body)


def test_a_box_that_is_drawn_too_wide_becomes_the_things_own() -> None:
    network = Network(YoloX(), {Kind.PERSON: Wanted(0.1, drawn=0.75)}, Sight(W, H))
    out = silent_yolox(1)
    speak(out, 16, (1, 2), 0, 0.5)
    (found,) = network.detections(out, network.prepare(np.zeros((H, W, 3), np.uint8)))
    assert (found.box.x, found.box.y, found.box.w, found.box.h) == (26, 10, 12, 12)


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
    channels = tensor[0].reshape(-1, 3).T if name in ("blazeface", "ssd") else tensor[0].reshape(3, -1)
    assert int(channels.mean(axis=1).argmax()) == (0 if name in ("yunet", "nanodet", "yolox") else 2)


def test_letterbox_keeps_the_aspect_and_boxes_come_back() -> None:
    picture = np.full((100, 400, 3), 200, np.uint8)
    network = Network(YuNet(), FACES, Sight(W, H))
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
    prepared = Network(YuNet(), FACES, None).prepare(picture)
    assert prepared.tensor.shape == (1, 3, 64, 96)
    assert prepared.tensor[0, 0, :33, :65].min() == 7
    assert letterbox(picture, 65, 33, 1.0) is picture


def test_boxes_that_overflow_stay_in_the_picture() -> None:
    out = silent_yunet()
    out["cls_8"][0, 0] = out["obj_8"][0, 0] = 1
    out["bbox_8"][0, 0] = [0, 0, 1e9, 1e9]
    network = Network(YuNet(), FACES, Sight(W, H))
    prepared = network.prepare(np.zeros((H, W, 3), np.uint8))
    assert all(d.box.right <= W and d.box.bottom <= H for d in network.detections(out, prepared))


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_network_that_gives_no_number_has_failed_and_not_seen_nobody(broken: float) -> None:
    network = Network(HEADS["yunet"], FACES, Sight(W, H))
    prepared = network.prepare(np.zeros((H, W, 3), np.uint8))
    out = silent_yunet()
    assert network.detections(out, prepared) == []
    out["obj_16"][0, 1] = broken
    with pytest.raises(DetectorFailed, match="not a finite number"):
        network.detections(out, prepared)
