"""Opens the real models at any size, and pastes the one real face there is."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest

from firmware.config.drivers import OnnxOptions, TfliteOptions
from firmware.config.model import LoadedModel, ModelCache, load_manifests
from firmware.core.cuts import Sight
from firmware.core.frames import Detection, Plane
from firmware.core.geometry import Box
from firmware.core.moment import Moment
from firmware.core.raw import DetectorPicture
from firmware.drivers import detector_onnx, detector_tflite
from firmware.ports import Detector

Finds = Callable[..., list[Sequence[Detection]]]


def shown(bgr: Plane) -> DetectorPicture:
    """Return a picture as a detector is shown it, whole."""
    return DetectorPicture(bgr, Moment(0, 0, 0), Box(0, 0, bgr.shape[1], bgr.shape[0]))


@pytest.fixture
def finds(model_cache: ModelCache) -> Finds:
    """Opens a model by name and artefact, for one size or each picture's, and has it look at pictures."""

    def open_it(name: str, key: str, size: tuple[int, int] | None) -> AbstractAsyncContextManager[Detector]:
        manifest = load_manifests()[name]
        artefact = manifest.artefacts[key]
        if not model_cache.has(artefact):
            pytest.skip(f"no {artefact.file} in {model_cache.root}: run scripts/fetch-models")
        sight = None if size is None else Sight(*size, grows=artefact.width is None)
        model = LoadedModel(manifest, partial(model_cache.read, manifest, artefact), sight, manifest.live())
        if artefact.runtime == "tflite":
            return detector_tflite.open_detector(TfliteOptions(driver="tflite"), model)
        return detector_onnx.open_detector(OnnxOptions(driver="onnx"), model)

    async def find(detector: AbstractAsyncContextManager[Detector], pictures: Sequence[Plane]) -> list[Any]:
        async with detector as opened:
            return [opened.detect(shown(picture)) for picture in pictures]

    def find_it(
        name: str, key: str, pictures: Sequence[Plane], size: tuple[int, int] | None = None
    ) -> list[Any]:
        return asyncio.run(find(open_it(name, key, size), pictures))

    return find_it


@pytest.fixture
def astronaut(model_cache: ModelCache) -> Plane:
    """A picture of 512 x 512 with one real face."""
    manifest = load_manifests()["astronaut"]
    bgr = cv2.imread(str(model_cache.path(manifest.artefacts["picture"])))
    assert bgr is not None
    return np.asarray(bgr, np.uint8)
