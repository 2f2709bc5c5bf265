"""Every converter by the name that manifests give it: from its authors' files to one ONNX file.

A converter computes nothing but moves of numbers, so the same files give the same bytes on every machine.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from firmware.provision import nanodet, selftest, yolox, yunet
from firmware.provision.tfjs import Array


@dataclass(frozen=True, slots=True)
class Converter:
    """How a model's own files, in the manifest's order, become ONNX, and what its self-test looks at.

    `probe` makes the self-test's input of a width and height in pixels.
    """

    convert: Callable[[Sequence[bytes]], bytes]
    probe: Callable[[int, int], Array]


CONVERTERS: Mapping[str, Converter] = MappingProxyType(
    {
        "nanodet": Converter(lambda parts: nanodet.convert(parts[0], parts[1]), selftest.waves),
        "yunet": Converter(lambda parts: yunet.convert(parts[0]), selftest.pixels),
        "yolox-tflite": Converter(lambda parts: yolox.body_and_head(parts[0]), selftest.pixels),
        "yolox-onnx": Converter(lambda parts: yolox.person(parts[0]), selftest.pixels),
    }
)
