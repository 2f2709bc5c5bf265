"""The conversion of the two YOLOX-nanos: same bytes everywhere, and outputs equal to their own files'."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from firmware.config.model import ModelCache
from firmware.drivers.onnx_once import run_once
from firmware.errors import DriverUnavailable
from firmware.provision import selftest, yolox
from firmware.provision.tfjs import Array
from firmware.provision.tflite_layers import read_tflite
from tests.provision.converted import (
    agrees_with_the_reference,
    damaged,
    fails_where_a_weight_is_altered,
    gives_the_stated_bytes,
    is_sound_and_passes_its_self_test,
    made_from,
    portrait,
    without_package,
)

pytestmark = pytest.mark.models

STRIDES = (8, 16, 32)
BODIES, PEOPLE = "yolox-body-head", "yolox-person"
BOTH = pytest.mark.parametrize("name", [BODIES, PEOPLE])
CONVERT: Mapping[str, Callable[[bytes], bytes]] = {BODIES: yolox.body_and_head, PEOPLE: yolox.person}
FUZZED = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def tflite(model_cache: ModelCache) -> bytes:
    return made_from(model_cache, BODIES)[3][0]


@pytest.fixture
def export(model_cache: ModelCache) -> bytes:
    return made_from(model_cache, PEOPLE)[3][0]


def converted(cache: ModelCache, name: str, picture: Array) -> Mapping[str, Array]:
    """Run the converted file in the cache."""
    _, artefact, _, _ = made_from(cache, name)
    return run_once(cache.path(artefact), {"input": picture})


def noise(width: int, height: int) -> Array:
    return np.random.default_rng(3).uniform(0, 255, (1, 3, height, width)).astype(np.float32)


def sigmoid(logits: Array) -> Array:
    scores: Array = 1 / (1 + np.exp(-logits))
    return scores


def decoded(outputs: Mapping[str, Array], kind: int) -> tuple[Array, Array]:
    """Return boxes (n, 4) by their corners in pixels of the input, and scores (n,), as the manifest says."""
    boxes, scores = [], []
    for stride in STRIDES:
        dx, dy, w, h = outputs[f"reg_{stride}"][0]
        rows, columns = np.indices(dx.shape)
        x, y = (dx + columns) * stride, (dy + rows) * stride
        half = np.exp(w) * stride / 2, np.exp(h) * stride / 2
        boxes.append(np.stack([x - half[0], y - half[1], x + half[0], y + half[1]], -1).reshape(-1, 4))
        score = sigmoid(outputs[f"obj_{stride}"][0, 0]) * sigmoid(outputs[f"cls_{stride}"][0, kind])
        scores.append(score.reshape(-1))
    return np.concatenate(boxes), np.concatenate(scores)


@BOTH
def test_conversion_gives_the_stated_bytes(model_cache: ModelCache, name: str) -> None:
    gives_the_stated_bytes(model_cache, name)


@BOTH
def test_converted_file_is_sound_and_passes_its_self_test(model_cache: ModelCache, name: str) -> None:
    is_sound_and_passes_its_self_test(model_cache, name)


@BOTH
def test_self_test_notices_an_altered_weight(model_cache: ModelCache, name: str, tmp_path: Path) -> None:
    _, _, source, (file,) = made_from(model_cache, name)
    fails_where_a_weight_is_altered(CONVERT[name](file), source, tmp_path)


@BOTH
def test_runtime_agrees_with_the_reference_evaluator(
    model_cache: ModelCache, name: str, tmp_path: Path
) -> None:
    made = CONVERT[name](made_from(model_cache, name)[3][0])
    agrees_with_the_reference(made, {"input": selftest.pixels(96, 64)}, tmp_path)


@BOTH
def test_outputs_are_as_stated_at_any_size(model_cache: ModelCache, name: str) -> None:
    outputs = converted(model_cache, name, noise(160, 96))
    assert {key: array.shape for key, array in outputs.items()} == {
        f"{kind}_{stride}": (1, planes, 96 // stride, 160 // stride)
        for kind, planes in (("reg", 4), ("obj", 1), ("cls", 2 if name == BODIES else 1))
        for stride in STRIDES
    }


def test_people_are_scored_as_the_export_scores_them(model_cache: ModelCache) -> None:
    """The export has COCO's 80 classes, joins all cells, and takes 416 x 416 alone."""
    manifest, _, _, _ = made_from(model_cache, PEOPLE)
    picture = noise(416, 416)
    path = model_cache.path(manifest.artefacts["export"])
    (theirs,) = run_once(path, {"images": picture}).values()
    ours = converted(model_cache, PEOPLE, picture)
    joined = [
        np.concatenate(
            [ours[f"reg_{s}"], sigmoid(ours[f"obj_{s}"]), sigmoid(ours[f"cls_{s}"])], axis=1
        ).reshape(6, -1)
        for s in STRIDES
    ]
    np.testing.assert_allclose(np.concatenate(joined, 1).T, theirs[0, :, :6], atol=1e-4)


def interpreted(file: bytes, picture: Array) -> Interpreter:
    """Run the TensorFlow Lite file itself and keep all that it computes on the way."""
    interpreter = Interpreter(
        model_content=file,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture.transpose(0, 2, 3, 1))
    interpreter.invoke()
    return interpreter


def test_bodies_and_heads_leave_the_network_as_in_tensorflow(model_cache: ModelCache, tflite: bytes) -> None:
    picture = noise(320, 256)
    ours, interpreter = converted(model_cache, BODIES, picture), interpreted(tflite, picture)
    heads = yolox._heads(read_tflite(tflite).layers)
    assert len(heads) == len(ours)
    for tensor, kind in heads.items():
        theirs = interpreter.get_tensor(int(tensor[1:])).transpose(0, 3, 1, 2)
        got = ours[f"{kind}_{320 // theirs.shape[3]}"]
        np.testing.assert_allclose(got, theirs[:, : got.shape[1]], atol=5e-4, err_msg=kind)


def test_bodies_and_heads_are_where_tensorflow_finds_them(model_cache: ModelCache, tflite: bytes) -> None:
    """The file's own boxes: picture, class, score, corners in pixels."""
    small = cv2.resize(portrait(model_cache), (256, 256)).transpose(2, 0, 1)[None]
    picture = np.zeros((1, 3, 256, 320), np.float32)
    picture[..., :256] = small
    interpreter = interpreted(tflite, picture)
    rows = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    ours = converted(model_cache, BODIES, picture)
    certain = rows[(rows[:, 1] < 2) & (rows[:, 2] > 0.4)]
    assert {int(row[1]) for row in certain} == {0, 1}
    for row in certain:
        boxes, scores = decoded(ours, int(row[1]))
        nearest = int(np.abs(boxes - row[3:]).max(1).argmin())
        np.testing.assert_allclose(boxes[nearest], row[3:], atol=0.05)
        assert scores[nearest] == pytest.approx(row[2], abs=1e-3)


def test_the_astronaut_is_a_person(model_cache: ModelCache) -> None:
    picture = portrait(model_cache).transpose(2, 0, 1)[None].astype(np.float32)
    boxes, scores = decoded(converted(model_cache, PEOPLE, picture), 0)
    assert scores.max() > 0.5
    left, top, right, bottom = boxes[scores.argmax()]
    assert left < 60
    assert top < 60
    assert right > 300
    assert bottom > 480


def _altered(file: bytes, alter: Callable[[onnx.GraphProto], object]) -> bytes:
    model = onnx.load_from_string(file)
    alter(model.graph)
    return bytes(model.SerializeToString())


def _outside(graph: onnx.GraphProto) -> None:
    """Have the first weight lie in another file, as large models do."""
    weight = graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/passwd")


def _one_class(graph: onnx.GraphProto) -> None:
    for weight in graph.initializer:
        if weight.name.startswith("head.cls_preds"):
            none = numpy_helper.to_array(weight)[:0]
            weight.CopyFrom(numpy_helper.from_array(none, weight.name))


def _two_levels(graph: onnx.GraphProto) -> None:
    """Take away what joins the outputs of the first level."""
    graph.node.remove(next(n for n in graph.node if n.op_type == "Concat" and len(n.input) == 3))


ODD: Mapping[str, Callable[[onnx.GraphProto], object]] = {
    "not one input": lambda graph: graph.input.add(name="another"),
    "holds 0 bytes": _outside,
    "fewer classes than those wanted": _one_class,
    "an ONNX Tanh such as this is not known": lambda graph: setattr(graph.node[10], "op_type", "Tanh"),
    "does not begin with Focus": lambda graph: graph.node[8].input.__setitem__(0, graph.node[8].input[1]),
    "not those of strides 8, 16 and 32": _two_levels,
    "expected 2 known values": lambda graph: graph.node[11].input.pop(),
}


@pytest.mark.parametrize("line", ODD)
def test_another_onnx_file_is_refused_with_a_clear_line(export: bytes, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        yolox.person(_altered(export, ODD[line]))


@pytest.mark.parametrize("file", [b"", b"GIF89a", b"\x08\x07"])
def test_what_is_no_such_file_is_refused(file: bytes) -> None:
    with pytest.raises(ValueError, match=r"cannot be read as ONNX|not one input"):
        yolox.person(file)
    with pytest.raises(ValueError, match="not of TensorFlow Lite"):
        yolox.body_and_head(file)


@FUZZED
@given(data=st.data())
def test_damaged_tensorflow_files_are_refused_or_read(tflite: bytes, data: st.DataObject) -> None:
    spoiled = data.draw(st.composite(damaged)(tflite))
    with contextlib.suppress(ValueError):
        yolox.body_and_head(spoiled)


@FUZZED
@given(data=st.data())
def test_damaged_onnx_files_are_refused_or_read(export: bytes, data: st.DataObject) -> None:
    spoiled = data.draw(st.composite(damaged)(export))
    with contextlib.suppress(ValueError):
        yolox.person(spoiled)


def test_a_missing_package_is_named(tflite: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    without_package(monkeypatch, "tflite")
    with pytest.raises(DriverUnavailable, match="converting YOLOX needs the package 'tflite"):
        yolox.body_and_head(tflite)
