"""Reads a TensorFlow.js graph model: a JSON topology and one file of weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: TensorFlow's name of it, the names it reads, and its attributes as they stand."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attr: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph with its constants; half-precision weights are widened to 32 bits, which is exact."""

    nodes: Mapping[str, Node]
    constants: Mapping[str, Array]


def read_graph(topology: bytes, weights: bytes) -> Graph:
    """Read both files.

    Raises:
        ValueError: the weights are shorter than the topology says, or of a kind that is not known.
    """
    parsed = json.loads(topology)
    nodes = {
        entry["name"]: Node(entry["name"], entry["op"], tuple(entry.get("input", ())), entry.get("attr", {}))
        for entry in parsed["modelTopology"]["node"]
    }
    constants: dict[str, Array] = {}
    offset = 0
    for entry in parsed["weightsManifest"][0]["weights"]:
        array, offset = _read_weight(entry, weights, offset)
        constants[entry["name"]] = array
    return Graph(nodes, constants)


def _read_weight(entry: Mapping[str, Any], weights: bytes, offset: int) -> tuple[Array, int]:
    """Read one weight at `offset`; returns it and where the next one starts."""
    stored = entry.get("quantization", entry)["dtype"]
    kinds: dict[str, np.dtype[Any]] = {
        "float16": np.dtype("<f2"),
        "float32": np.dtype("<f4"),
        "int32": np.dtype("<i4"),
    }
    if stored not in kinds:
        raise ValueError(f"weight {entry['name']} is stored as {stored}, which is not known here")
    shape = tuple(entry["shape"])
    count = int(np.prod(shape, dtype=np.int64))
    end = offset + count * kinds[stored].itemsize
    if end > len(weights):
        raise ValueError(f"weight {entry['name']} ends at byte {end} of {len(weights)}")
    array = np.frombuffer(weights, kinds[stored], count, offset).reshape(shape)
    return (array.astype("<f4") if array.dtype.kind == "f" else array), end
