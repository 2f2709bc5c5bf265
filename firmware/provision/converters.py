"""Every converter by the name that manifests give it: from its authors' files to one ONNX file.

A converter computes nothing but moves of numbers, so the same files give the same bytes on every machine.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from firmware.provision import nanodet, selftest
from firmware.provision.tfjs import Array


@dataclass(frozen=True, slots=True)
class Converter:
    """How a model's own files become ONNX, and what its self-test looks at.

    `convert` takes the files in the manifest's order, and width and height of the input in pixels, which a
    converter whose files take any size passes over. `probe` makes the self-test's input of that size.
    """

    convert: Callable[[Sequence[bytes], int, int], bytes]
    probe: Callable[[int, int], Array]


CONVERTERS: Mapping[str, Converter] = MappingProxyType(
    {
        "nanodet": Converter(lambda parts, w, h: nanodet.convert(parts[0], parts[1], w, h), selftest.waves),
    }
)
