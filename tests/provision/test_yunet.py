"""The conversion of YuNet-s: same bytes everywhere, the face found, and damaged libraries refused."""

import contextlib
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware.config.model import Artefact, ConvertedSource, Manifest, ModelCache, load_manifests
from firmware.core.frames import Kind
from firmware.core.geometry import Box, iou
from firmware.core.heads.yunet import YuNet
from firmware.drivers.onnx_once import run_once
from firmware.errors import DriverUnavailable, WrongHash
from firmware.provision import selftest
from firmware.provision.elf import read_floats
from firmware.provision.fetch import Fetch
from firmware.provision.yunet import convert
from tests.provision.conftest import Bench, pypi
from tests.provision.converted import (
    agrees_with_the_reference,
    damaged,
    fails_where_a_weight_is_altered,
    gives_the_stated_bytes,
    is_sound_and_passes_its_self_test,
    made_from,
    passes_its_self_test,
    portrait,
    without_package,
)
from tests.provision.registry_server import wheel

pytestmark = pytest.mark.models

FACE = Box(180, 62, 90, 112)
"""Where the face is in the astronaut's picture of 512 x 512."""
SECTION_SIZE, SYMBOL_SIZE = 64, 24
PROGBITS, NOBITS, DYNSYM = 1, 8, 11


@pytest.fixture
def library(model_cache: ModelCache) -> bytes:
    return made_from(model_cache, "yunet-s")[3][0]


def test_conversion_gives_the_stated_bytes(model_cache: ModelCache) -> None:
    gives_the_stated_bytes(model_cache, "yunet-s")


def test_converted_file_is_sound_and_passes_its_self_test(model_cache: ModelCache) -> None:
    is_sound_and_passes_its_self_test(model_cache, "yunet-s")


def test_self_test_notices_an_altered_weight(model_cache: ModelCache, tmp_path: Path) -> None:
    _, _, source, (library,) = made_from(model_cache, "yunet-s")
    fails_where_a_weight_is_altered(convert(library), source, tmp_path)


def test_runtime_agrees_with_the_reference_evaluator(library: bytes, tmp_path: Path) -> None:
    agrees_with_the_reference(convert(library), {"input": selftest.pixels(96, 64)}, tmp_path)


@pytest.mark.parametrize("side", [256, 512])
def test_the_face_is_found_and_nothing_else(model_cache: ModelCache, side: int) -> None:
    _, artefact, _, _ = made_from(model_cache, "yunet-s")
    picture = np.asarray(cv2.resize(portrait(model_cache), (side, side)), np.uint8)
    feeds = {"input": YuNet().preprocess(picture)}
    outputs = run_once(model_cache.path(artefact), feeds)
    assert {name: array.shape for name, array in outputs.items()} == {
        f"{head}_{stride}": (1, (side // stride) ** 2, numbers)
        for head, numbers in (("cls", 1), ("obj", 1), ("bbox", 4))
        for stride in (8, 16, 32)
    }
    found = YuNet().decode(outputs, side, side, {Kind.FACE: 0.3})[Kind.FACE]
    assert len(found.boxes) == 1
    assert found.scores[0] > 0.8
    assert iou(Box(*map(float, found.boxes[0])), FACE.scaled(side / 512, side / 512)) > 0.6


def _section(library: bytes, kind: int) -> int:
    """Return where the header of the largest section of that kind lies in the file."""
    headers = [_header(library, n) for n in range(struct.unpack_from("<H", library, 60)[0])]
    found = [at for at in headers if struct.unpack_from("<I", library, at + 4)[0] == kind]
    return max(found, key=lambda at: int(struct.unpack_from("<Q", library, at + 32)[0]))


def _header(library: bytes, index: int) -> int:
    return int(struct.unpack_from("<Q", library, 40)[0]) + index * SECTION_SIZE


def _symbol(library: bytes, name: bytes) -> int:
    """Return where a symbol lies in the file's dynamic table."""
    dynamic = _section(library, DYNSYM)
    symbols, size, strings = struct.unpack_from("<QQI", library, dynamic + 24)
    (names,) = struct.unpack_from("<Q", library, _header(library, strings) + 24)
    for at in range(symbols, symbols + size, SYMBOL_SIZE):
        if library[names + struct.unpack_from("<I", library, at)[0] :].startswith(name + b"\0"):
            return at
    raise AssertionError(name)


def _written(library: bytes, place: int, layout: str, value: int) -> bytes:
    spoiled = bytearray(library)
    struct.pack_into(layout, spoiled, place, value)
    return bytes(spoiled)


BIAS = b"backbone__model0_pw_bias"


def test_what_is_no_such_library_is_refused_with_a_clear_line(library: bytes) -> None:
    data, dynamic, bias = _section(library, PROGBITS), _section(library, DYNSYM), _symbol(library, BIAS)
    spoiled = {
        "cannot be read as a shared library": b"GIF89a",
        "not 64-bit little-endian": _written(library, 5, "<B", 2),
        "more than 128 sections": _written(library, 60, "<H", 60_000),
        "no one table of at most 8192 symbols": _written(library, dynamic + 32, "<Q", SYMBOL_SIZE << 30),
        "whose bytes the file does not hold plainly": _written(library, data + 4, "<I", NOBITS),
        "reaches beyond its section or the file": _written(library, bias + 8, "<Q", 1 << 50),
        "lies in no section": _written(library, bias + 6, "<H", 0xFFF1),
        "has 63 bytes, which is no array": _written(library, bias + 16, "<Q", 63),
        "has 512 numbers, expected": _written(library, bias + 16, "<Q", 60),
        "has no symbol backbone__model0_pw_bias": library.replace(BIAS, BIAS.upper()),
    }
    for line, wrong in spoiled.items():
        with pytest.raises(ValueError, match=line):
            convert(wrong)


def test_compressed_sections_are_refused(library: bytes) -> None:
    with pytest.raises(ValueError, match="does not hold plainly"):
        convert(_written(library, _section(library, PROGBITS) + 8, "<Q", 1 << 11))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_libraries_are_refused_or_read(library: bytes, data: st.DataObject) -> None:
    spoiled = data.draw(st.composite(damaged)(library))
    with contextlib.suppress(ValueError):
        convert(spoiled)


@pytest.mark.parametrize("package", ["elftools", "onnx"])
def test_a_missing_package_is_named(library: bytes, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_package(monkeypatch, package)
    with pytest.raises(DriverUnavailable, match=f"converting YuNet-s needs the package '{package}"):
        convert(library)


def test_other_symbols_are_passed_over(library: bytes) -> None:
    assert set(read_floats(library, ("model0_pw_bias",))) == {BIAS.decode()}


def _from_wheel(manifest: Manifest, archive: bytes) -> Manifest:
    """Return the manifest with its library in another wheel."""
    library = manifest.artefacts["library"].model_dump()
    library["source"] = pypi("yuface", archive, "yuface/libfacedetection.so")
    return manifest.model_copy(
        update={"artefacts": {**manifest.artefacts, "library": Artefact.model_validate(library)}}
    )


@pytest.fixture
def yuface(bench: Bench, library: bytes) -> tuple[Bench, Fetch]:
    """The library in a wheel on loopback, and the fetch of its model."""
    archive = wheel({"yuface/libfacedetection.so": library})
    bench.registry.python_package("yuface", archive)
    bench.manifests["yunet-s"] = _from_wheel(load_manifests()["yunet-s"], archive)
    return bench, Fetch(bench.cache, bench.manifests, run_once)


def test_the_library_comes_from_its_wheel_and_is_converted(yuface: tuple[Bench, Fetch]) -> None:
    bench, fetch = yuface
    outcome = fetch.fetch([*bench.manifests])
    assert outcome.placed["libfacedetection.so"] == "pypi"
    assert outcome.placed["yunet-s.onnx"] == "converted"
    artefact = bench.manifests["yunet-s"].artefacts["onnx"]
    assert isinstance(artefact.source, ConvertedSource)
    passes_its_self_test(bench.cache.path(artefact), artefact.source)


def test_a_wheel_with_one_other_byte_is_refused_and_leaves_nothing(yuface: tuple[Bench, Fetch]) -> None:
    bench, fetch = yuface
    kind, body = bench.registry.files["/files/yuface.whl"]
    spoiled = _written(body, len(body) // 2, "<B", body[len(body) // 2] ^ 1)
    bench.registry.files["/files/yuface.whl"] = (kind, spoiled)
    with pytest.raises(WrongHash, match="SHA-256"):
        fetch.fetch(["yunet-s"])
    assert [path.name for path in bench.cache.root.rglob("*") if path.is_file()] == ["lock"]
