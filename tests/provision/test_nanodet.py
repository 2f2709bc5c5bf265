"""The conversion of NanoDet: same bytes everywhere, right outputs, and a self-test that notices."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from firmware.config.model import Artefact, ConvertedSource, Manifest, ModelCache, load_manifests
from firmware.drivers.onnx_once import run_once
from firmware.errors import SelfTestFailed
from firmware.provision import selftest
from firmware.provision.nanodet import convert
from firmware.provision.tfjs import read_graph

pytestmark = pytest.mark.models


@pytest.fixture
def nanodet(model_cache: ModelCache) -> tuple[Manifest, ModelCache]:
    manifest = load_manifests()["nanodet-g"]
    if not all(model_cache.has(artefact) for artefact in manifest.artefacts.values()):
        pytest.skip(f"NanoDet's own files are not in {model_cache.root}: run scripts/fetch-models --all")
    return manifest, model_cache


def _smallest(manifest: Manifest) -> tuple[Artefact, ConvertedSource]:
    artefact = manifest.artefacts["416x256"]
    assert isinstance(artefact.source, ConvertedSource)
    return artefact, artefact.source


def _inputs(manifest: Manifest, cache: ModelCache) -> tuple[bytes, bytes]:
    graph, weights = (cache.open(manifest, manifest.artefacts[name]) for name in ("graph", "weights"))
    return graph.read_bytes(), weights.read_bytes()


@pytest.mark.parametrize("size", ["416x256", "640x384", "416x416"])
def test_conversion_gives_the_stated_bytes(nanodet: tuple[Manifest, ModelCache], size: str) -> None:
    artefact = nanodet[0].artefacts[size]
    assert artefact.width is not None
    assert artefact.height is not None
    made = convert(*_inputs(*nanodet), artefact.width, artefact.height)
    assert (len(made), hashlib.sha256(made).hexdigest()) == (artefact.bytes, artefact.sha256)


def test_converted_files_pass_their_self_test(nanodet: tuple[Manifest, ModelCache]) -> None:
    manifest, cache = nanodet
    for artefact in manifest.artefacts.values():
        if isinstance(artefact.source, ConvertedSource):
            path, source = cache.open(manifest, artefact), artefact.source
            selftest.check(run_once, path, selftest.waves(source.width, source.height), source.self_test)


def test_self_test_notices_an_altered_weight(nanodet: tuple[Manifest, ModelCache], tmp_path: Path) -> None:
    manifest, cache = nanodet
    artefact, source = _smallest(manifest)
    model = onnx.load(cache.open(manifest, artefact))
    kernel = next(weight for weight in model.graph.initializer if len(weight.dims) == 4)
    altered = numpy_helper.to_array(kernel).copy()
    altered.flat[0] += 0.5
    kernel.CopyFrom(numpy_helper.from_array(altered, kernel.name))
    path = tmp_path / "altered.onnx"
    onnx.save(model, path)
    with pytest.raises(SelfTestFailed, match="is off by"):
        selftest.check(run_once, path, selftest.waves(source.width, source.height), source.self_test)


def test_self_test_fails_on_outputs_that_are_no_numbers(nanodet: tuple[Manifest, ModelCache]) -> None:
    artefact, source = _smallest(nanodet[0])
    nothing = {
        f"{kind}_{stride}": np.full((1, 9, 9), np.nan, np.float32)
        for kind in ("scores", "boxes")
        for stride in (8, 16, 32)
    }
    with pytest.raises(SelfTestFailed):
        selftest.check(lambda *_: nothing, Path(artefact.file), selftest.waves(64, 64), source.self_test)


def test_runtime_agrees_with_the_reference_evaluator(
    nanodet: tuple[Manifest, ModelCache], tmp_path: Path
) -> None:
    """onnx's own evaluator shares no code with the runtime and computes the same from the same file."""
    made = convert(*_inputs(*nanodet), 64, 64)
    path = tmp_path / "small.onnx"
    path.write_bytes(made)
    feeds = {"input": selftest.waves(64, 64)}
    got = run_once(path, feeds)
    expected = ReferenceEvaluator(onnx.load_from_string(made)).run(None, feeds)
    for (name, ours), theirs in zip(got.items(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4, err_msg=name)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        convert(b"{}", b"", 400, 300)


def test_short_weights_are_refused(nanodet: tuple[Manifest, ModelCache]) -> None:
    topology, weights = _inputs(*nanodet)
    with pytest.raises(ValueError, match="ends at byte"):
        read_graph(topology, weights[:-1000])
