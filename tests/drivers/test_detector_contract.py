"""What the pipeline may rely on, whichever driver a board names for a detector.

onnxruntime and LiteRT are the real ones; the Edge TPU is a double of libedgetpu in a real child process,
TensorRT a double whose plans onnxruntime runs. No accelerator was there.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from firmware.config.drivers import EdgetpuOptions, OnnxOptions, TensorrtOptions, TfliteOptions
from firmware.config.model import LoadedModel, ModelCache, load_manifests
from firmware.config.portrait import portrait
from firmware.core.cuts import Sight
from firmware.core.frames import Detection, Kind, Plane
from firmware.drivers import detector_edgetpu, detector_onnx, detector_tensorrt, detector_tflite
from firmware.errors import VeilcamError
from firmware.ports import Detector
from tests.detect.conftest import shown
from tests.drivers.alone import by_itself
from tests.drivers.edgetpu.library import compiled
from tests.drivers.fake_tensorrt import FakeCudart, FakeTensorrt

DETECTORS = ("onnx", "tflite", "edgetpu", "tensorrt")
MODELS = {"onnx": "yunet-s", "tensorrt": "yunet-s", "tflite": "blazeface-back", "edgetpu": "blazeface-back"}
SIDE = 256
Opens = Callable[..., AbstractAsyncContextManager[Detector]]
pytestmark = [pytest.mark.models, pytest.mark.timeout(120)]


@pytest.fixture(scope="session")
def libedgetpu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("contract"))


@pytest.fixture
def opens(
    model_cache: ModelCache, libedgetpu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Opens]:
    """Returns a driver's detector by the driver's name, of its model or of other bytes."""
    trt, cudart = FakeTensorrt(), FakeCudart()
    monkeypatch.setattr(detector_tensorrt, "_tensorrt", lambda: trt)
    monkeypatch.setattr(detector_tensorrt.Cuda, "loaded", classmethod(lambda cls: cls(cudart)))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("EDGETPU_DOUBLE", "works")
    ways = {
        "onnx": partial(detector_onnx.open_detector, OnnxOptions(driver="onnx")),
        "tflite": partial(detector_tflite.open_detector, TfliteOptions(driver="tflite")),
        "edgetpu": partial(
            detector_edgetpu.open_detector, EdgetpuOptions(driver="edgetpu", library=str(libedgetpu))
        ),
        "tensorrt": partial(detector_tensorrt.open_detector, TensorrtOptions(driver="tensorrt")),
    }

    def open_it(name: str, content: bytes | None = None) -> AbstractAsyncContextManager[Detector]:
        manifest = load_manifests()[MODELS[name]]
        artefact = next(one for one in manifest.artefacts.values() if one.runtime)
        read = partial(model_cache.read, manifest, artefact) if content is None else lambda: content
        return ways[name](LoadedModel(manifest, read, Sight(SIDE, SIDE), manifest.live()))

    yield open_it
    assert (cudart.held, cudart.streams) == ({}, set()), "everything is given back"


@pytest.fixture
def face(model_cache: ModelCache) -> Plane:
    """The astronaut as large as a detector takes it; her face lies round (112, 57)."""
    return np.asarray(cv2.resize(portrait(model_cache), (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize("name", DETECTORS)
@by_itself
async def test_a_face_is_found_where_it_is(name: str, opens: Opens, face: Plane) -> None:
    async with opens(name) as detector:
        found = list(detector.detect(shown(face)))
        assert MODELS[name] in detector.name
        assert detector.sight == Sight(SIDE, SIDE)
    finds = set(load_manifests()[MODELS[name]].finds)
    assert Kind.FACE in finds
    assert any(is_face(one) for one in found)
    for one in found:
        assert one.kind in finds
        assert 0 < one.score <= 1
        assert np.isfinite([one.box.x, one.box.y, one.box.w, one.box.h]).all()
        assert one.box.w > 0
        assert one.box.h > 0


def is_face(one: Detection) -> bool:
    middle_x, middle_y = one.box.x + one.box.w / 2, one.box.y + one.box.h / 2
    return one.kind is Kind.FACE and abs(middle_x - 112) < 16 and abs(middle_y - 57) < 16


@pytest.mark.parametrize("name", DETECTORS)
@by_itself
async def test_a_look_depends_on_its_picture_alone(name: str, opens: Opens, face: Plane) -> None:
    noise = np.random.default_rng(3).integers(0, 255, face.shape, np.uint8)
    async with opens(name) as detector:
        first = list(detector.detect(shown(face)))
        detector.detect(shown(noise))
        assert list(detector.detect(shown(face))) == first, "nothing is left of the picture before"


@pytest.mark.parametrize("name", DETECTORS)
@by_itself
async def test_pictures_are_read_and_not_written_and_may_lie_anywhere(
    name: str, opens: Opens, face: Plane
) -> None:
    room = np.full((SIDE + 6, SIDE + 50, 3), 99, np.uint8)
    room[3 : 3 + SIDE, 20 : 20 + SIDE] = face
    view = room[3 : 3 + SIDE, 20 : 20 + SIDE]
    view.flags.writeable = False
    async with opens(name) as detector:
        assert list(detector.detect(shown(view))) == list(detector.detect(shown(face)))
    assert (view == face).all()


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("level", [0, 128, 255])
@by_itself
async def test_where_there_is_nothing_nothing_is_found(name: str, level: int, opens: Opens) -> None:
    async with opens(name) as detector:
        assert list(detector.detect(shown(np.full((SIDE, SIDE, 3), level, np.uint8)))) == []


@pytest.mark.parametrize("name", DETECTORS)
@by_itself
async def test_it_can_be_opened_again_and_beside_itself(name: str, opens: Opens, face: Plane) -> None:
    async with opens(name) as one:
        before = list(one.detect(shown(face)))
    async with opens(name) as one, opens(name) as other:
        assert list(one.detect(shown(face))) == list(other.detect(shown(face))) == before


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("content", [b"", b"no model at all", bytes(100_000)])
@by_itself
async def test_what_is_no_model_is_an_error_of_the_cameras(name: str, content: bytes, opens: Opens) -> None:
    with pytest.raises(VeilcamError):
        async with opens(name, content):
            pass
