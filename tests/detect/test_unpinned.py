"""The rewriting of ONNX files, on files of a few bytes made with the onnx package and on broken ones."""

from contextlib import suppress

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.core.heads.unpinned import unpinned

onnx = pytest.importorskip("onnx", reason="needs the package onnx, which set-up installs to convert NanoDet")


def pinned_model() -> bytes:
    """y = x + w for x of (10, 3, 32, 32), with w listed among the inputs as CenterFace's weights are."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = onnx.numpy_helper.from_array(np.full((1, 3, 1, 1), 2, np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "pinned",
        [
            helper.make_tensor_value_info("x", kind, [10, 3, 32, 32]),
            helper.make_tensor_value_info("w", kind, [1, 3, 1, 1]),
        ],
        [helper.make_tensor_value_info("y", kind, [10, 3, 32, 32])],
        [weights],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    return bytes(model.SerializeToString())


def test_any_size_goes_through_and_weights_are_no_inputs() -> None:
    session = onnxruntime.InferenceSession(unpinned(pinned_model()), providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape[1]) for i in session.get_inputs()] == [("x", 3)]
    (y,) = session.run(None, {"x": np.ones((1, 3, 64, 96), np.float32)})
    np.testing.assert_array_equal(y, np.full((1, 3, 64, 96), 3, np.float32))


def test_what_is_not_changed_stays_the_same() -> None:
    once = unpinned(pinned_model())
    assert unpinned(once) == once


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_value_error_or_nothing(data: bytes) -> None:
    with suppress(ValueError):
        once = unpinned(data)
        assert unpinned(once) == once


def test_a_cut_file_is_refused() -> None:
    with pytest.raises(ValueError, match="not an ONNX model"):
        unpinned(pinned_model()[:-3])
