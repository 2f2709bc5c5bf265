"""Detector drivers: errors that say what to do, and the runtime that is taken."""

import asyncio
import builtins
import importlib
import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from firmware.config.drivers import OnnxOptions, TfliteOptions
from firmware.config.model import LoadedModel, ModelCache, load_manifests
from firmware.core.cuts import Sight
from firmware.drivers import detector_onnx, detector_tflite
from firmware.errors import ConfigError, DriverUnavailable, ModelError, ModelMissing, WrongHash
from tests.detect.conftest import shown

SQUARE = Sight(256, 256)
MANIFESTS = load_manifests()


def loaded(name: str, path: Path, sight: Sight = SQUARE) -> LoadedModel:
    return LoadedModel(
        MANIFESTS[name], lambda: path.read_bytes() if path.is_file() else b"", sight, MANIFESTS[name].live()
    )


class FakeInterpreter:
    """Gives one face in the middle, with the interface both runtimes share."""

    def __init__(self, model_content: bytes, num_threads: int) -> None:
        self.made_with = (model_content, num_threads)

    def allocate_tensors(self) -> None: ...

    def invoke(self) -> None: ...

    def set_tensor(self, index: int, value: np.ndarray) -> None:
        assert (index, value.shape) == (7, (1, 256, 256, 3))

    def get_input_details(self) -> list[dict[str, Any]]:
        return [{"name": "input", "index": 7}]

    def get_output_details(self) -> list[dict[str, Any]]:
        return [{"name": "regressors", "index": 1}, {"name": "classificators", "index": 2}]

    def get_tensor(self, index: int) -> np.ndarray:
        if index == 1:
            return np.full((1, 896, 16), 10, np.float32)
        logits = np.full((1, 896, 1), -80, np.float32)
        logits[0, 300] = 80
        return logits


def only(monkeypatch: pytest.MonkeyPatch, *present: str) -> None:
    """Leave `present` of both runtimes on this machine."""
    real = importlib.import_module

    def fake(name: str, package: str | None = None) -> ModuleType | SimpleNamespace:
        root = name.partition(".")[0]
        if root not in detector_tflite.RUNTIMES:
            return real(name, package)
        if root not in present:
            raise ModuleNotFoundError(f"No module named {root!r}", name=root)
        return SimpleNamespace(Interpreter=FakeInterpreter, root=root)

    monkeypatch.setattr(detector_tflite.importlib, "import_module", fake)


async def test_tflite_runtime_is_taken_where_litert_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "tflite_runtime")
    model = loaded("blazeface-back", Path("any"))
    async with detector_tflite.open_detector(TfliteOptions(driver="tflite", threads=2), model) as detector:
        (found,) = detector.detect(shown(np.zeros((512, 512, 3), np.uint8)))
        assert (found.box.w, found.box.h) == (20, 20)
        assert "blazeface-back" in detector.name


async def test_without_either_runtime_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)
    with pytest.raises(DriverUnavailable, match="pip install ai-edge-litert"):
        async with detector_tflite.open_detector(
            TfliteOptions(driver="tflite"), loaded("blazeface-back", Path("any"))
        ):
            pass


async def test_files_that_are_no_models_are_model_errors(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"no model at all")
    with pytest.raises(ModelError, match="fetch-models"):
        async with detector_onnx.open_detector(OnnxOptions(driver="onnx"), loaded("yunet", path)):
            pass
    with pytest.raises(ModelError, match="fetch-models"):
        async with detector_tflite.open_detector(
            TfliteOptions(driver="tflite"), loaded("blazeface-back", path)
        ):
            pass


@pytest.mark.models
@pytest.mark.parametrize("name", ["yunet-s", "blazeface-back"])
def test_a_file_that_is_exchanged_after_it_was_checked_is_refused(
    name: str, model_cache: ModelCache, tmp_path: Path
) -> None:
    manifest = MANIFESTS[name]
    artefact = next(a for a in manifest.artefacts.values() if a.runtime)
    cache = ModelCache(tmp_path)
    cache.path(artefact).parent.mkdir()
    sound = model_cache.read(manifest, artefact)
    cache.path(artefact).write_bytes(sound)
    read = partial(cache.read, manifest, artefact)
    model = LoadedModel(manifest, read, Sight(256, 256), manifest.live())
    assert read() == sound
    # One bit in the middle is a weight: it would load, and see nobody.
    middle = len(sound) // 2
    cache.path(artefact).write_bytes(sound[:middle] + bytes([sound[middle] ^ 64]) + sound[middle + 1 :])

    async def open_it() -> None:
        if artefact.runtime == "onnx":
            async with detector_onnx.open_detector(OnnxOptions(driver="onnx"), model):
                return
        async with detector_tflite.open_detector(TfliteOptions(driver="tflite"), model):
            return

    with pytest.raises(WrongHash):
        asyncio.run(open_it())
    cache.path(artefact).unlink()
    with pytest.raises(ModelMissing, match="fetch-models"):
        model.read()


async def test_a_picture_is_no_detector(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="astronaut"):
        async with detector_onnx.open_detector(
            OnnxOptions(driver="onnx"), loaded("astronaut", tmp_path / "x")
        ):
            pass


def test_modules_load_without_the_other_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] in (*detector_tflite.RUNTIMES, "onnxruntime"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.delitem(sys.modules, "firmware.drivers.detector_tflite")
    assert callable(importlib.import_module("firmware.drivers.detector_tflite").open_detector)
