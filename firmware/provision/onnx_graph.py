"""Builds ONNX files node by node, stated field by field: the same weights give the same bytes everywhere."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from firmware.errors import DriverUnavailable
from firmware.provision.tfjs import Array

IR_VERSION = 8
OPSET = 13
STRIDES = (8, 16, 32)
"""Input pixels per cell of each level of outputs, as all networks here have them."""

Shape: TypeAlias = Sequence[int | str]
"""Sizes of a value; a name where a size is free."""
ANY_PICTURE: Shape = (1, 3, "height", "width")


@contextlib.contextmanager
def converting(model: str) -> Iterator[None]:
    """Turn a missing package into DriverUnavailable that names it: only set-up has what conversions need."""
    try:
        yield
    except ModuleNotFoundError as exc:
        raise DriverUnavailable(
            f"converting {model} needs the package {exc.name!r}; run scripts/setup, or install veilcam[setup]"
        ) from exc


@dataclass(slots=True)
class OnnxGraph:
    """Nodes and weights of a graph as they come up."""

    nodes: list[Any] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)

    def emit(self, op: str, inputs: Sequence[str], *outputs: str, **attributes: object) -> str:
        """Add one node; returns the name of its first output."""
        from onnx import helper  # noqa: PLC0415  only set-up has onnx

        self.nodes.append(helper.make_node(op, inputs, list(outputs), **attributes))
        return outputs[0]

    def weight(self, name: str, array: Array) -> str:
        """Keep one weight; returns its name."""
        self.weights[name] = np.ascontiguousarray(array)
        return name

    def doubled(self, value: str, output: str) -> str:
        """Add a node that makes each cell four; returns the name of its output."""
        twice = self.weight("twice", np.array([1, 1, 2, 2], "<f4"))
        return self.emit(
            "Resize",
            [value, "", twice],
            output,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def serialise(self, name: str, picture: Shape, outputs: Mapping[str, Shape]) -> bytes:
        """Return the file of the graph `name`, whose one input `input` has the shape of `picture`."""
        from onnx import ModelProto, TensorProto, helper, numpy_helper  # noqa: PLC0415  only set-up has onnx

        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, picture)],
            [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in outputs.items()],
            [numpy_helper.from_array(array, key) for key, array in self.weights.items()],
        )
        # Stated field by field: helper.make_model would write the versions of the onnx that is installed.
        model = ModelProto(ir_version=IR_VERSION, producer_name="veilcam", graph=graph)
        model.opset_import.add(domain="", version=OPSET)
        return bytes(model.SerializeToString(deterministic=True))
