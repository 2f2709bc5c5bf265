"""What the tests of every converter do with the files it makes, and with damaged files it is given."""

import sys
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import strategies as st
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from firmware.config.model import Artefact, ConvertedSource, Manifest, ModelCache, load_manifests
from firmware.core.frames import Plane
from firmware.drivers.onnx_once import run_once
from firmware.errors import SelfTestFailed
from firmware.provision import selftest
from firmware.provision.converters import CONVERTERS
from firmware.provision.tfjs import Array
from tests.provision.registry_server import sha256

END = 4096
"""Bytes at either end of a file, where formats keep the tables that say what lies between."""


def made_from(cache: ModelCache, name: str) -> tuple[Manifest, Artefact, ConvertedSource, list[bytes]]:
    """Return a manifest whose one conversion has its inputs in the cache, and their contents."""
    manifest = load_manifests()[name]
    (artefact,) = (a for a in manifest.artefacts.values() if isinstance(a.source, ConvertedSource))
    assert isinstance(artefact.source, ConvertedSource)
    parts = [manifest.artefacts[part] for part in artefact.source.inputs]
    if not all(cache.has(a) for a in (artefact, *parts)):
        pytest.skip(f"{name}'s own files are not in {cache.root}: run scripts/fetch-models --all")
    return manifest, artefact, artefact.source, [cache.read(manifest, part) for part in parts]


def gives_the_stated_bytes(cache: ModelCache, name: str) -> None:
    """Convert twice and compare with the manifest."""
    _, artefact, source, parts = made_from(cache, name)
    for _ in range(2):
        made = CONVERTERS[source.converter].convert(parts)
        assert (len(made), sha256(made)) == (artefact.bytes, artefact.sha256)


def is_sound_and_passes_its_self_test(cache: ModelCache, name: str) -> None:
    """Check the converted file in the cache with onnx's own checker and as set-up does."""
    _, artefact, source, _ = made_from(cache, name)
    path = cache.path(artefact)
    onnx.checker.check_model(str(path), full_check=True)
    passes_its_self_test(path, source)


def passes_its_self_test(path: Path, source: ConvertedSource) -> None:
    """Check a file as set-up does; raises SelfTestFailed."""
    probe = CONVERTERS[source.converter].probe(source.width, source.height)
    selftest.check(run_once, path, probe, source.self_test)


def portrait(cache: ModelCache) -> Plane:
    """Return the astronaut's picture, 512 x 512, BGR."""
    manifest = load_manifests()["astronaut"]
    bgr = cv2.imread(str(cache.path(manifest.artefacts["picture"])))
    assert bgr is not None
    return np.asarray(bgr, np.uint8)


def without_package(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Have the machine lack a package."""
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)


def fails_where_a_weight_is_altered(made: bytes, source: ConvertedSource, folder: Path) -> None:
    """Alter one weight and check that the self-test notices."""
    model = onnx.load_from_string(made)
    kernel = next(weight for weight in model.graph.initializer if len(weight.dims) == 4)
    altered = numpy_helper.to_array(kernel).copy()
    altered.flat[0] += 0.5
    kernel.CopyFrom(numpy_helper.from_array(altered, kernel.name))
    path = folder / "altered.onnx"
    onnx.save(model, path)
    with pytest.raises(SelfTestFailed, match="is off by"):
        passes_its_self_test(path, source)


def agrees_with_the_reference(made: bytes, feeds: Mapping[str, Array], folder: Path) -> None:
    """Compare the runtime with onnx's own evaluator, which shares no code with it."""
    path = folder / "small.onnx"
    path.write_bytes(made)
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # its Sigmoid computes both ways and takes the one that held
        expected = ReferenceEvaluator(onnx.load_from_string(made)).run(None, dict(feeds))
    for (name, ours), theirs in zip(run_once(path, feeds).items(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=1e-5, equal_nan=False, err_msg=name)


def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Cut a file short, or write a few bytes over it, rather at its ends than in the middle."""
    if draw(st.booleans()):
        return whole[: draw(st.integers(0, len(whole) - 1))]
    last = len(whole) - 1
    places = st.integers(0, last) | st.integers(0, min(END, last)) | st.integers(max(0, last - END), last)
    spoiled = bytearray(whole)
    for place, value in draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)):
        spoiled[place] = value
    return bytes(spoiled)
