"""TensorRT's driver against a double of its API and of CUDA: calls, cache, errors; no inference on a GPU."""

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from firmware.config.drivers import OnnxOptions, TensorrtOptions
from firmware.config.model import LoadedModel, ModelCache, load_manifests
from firmware.core.cuts import Sight
from firmware.drivers import detector_onnx, detector_tensorrt
from firmware.drivers.detector_tensorrt import Cuda, PlanCache, PlanKey, default_plans, open_detector
from firmware.errors import DetectorFailed, DriverUnavailable
from tests.detect.conftest import shown
from tests.drivers.alone import by_itself
from tests.drivers.fake_tensorrt import FakeCudart, FakeTensorrt

MANIFESTS = load_manifests()
OPTIONS = TensorrtOptions(driver="tensorrt")
KEY = PlanKey("a" * 64, "10.7.0", "sm_87", "fp16", (640, 384))


@dataclasses.dataclass
class Jetson:
    trt: FakeTensorrt
    cudart: FakeCudart


@pytest.fixture
def jetson(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Jetson]:
    made = Jetson(FakeTensorrt(), FakeCudart())
    monkeypatch.setattr(detector_tensorrt, "_tensorrt", lambda: made.trt)
    monkeypatch.setattr(Cuda, "loaded", classmethod(lambda cls: cls(made.cudart)))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    yield made
    assert (made.cudart.held, made.cudart.streams) == ({}, set()), "everything is given back"


def yunet(cache: ModelCache, name: str = "yunet-s") -> LoadedModel:
    manifest = MANIFESTS[name]
    artefact = next(a for a in manifest.artefacts.values() if a.runtime == "onnx")
    return LoadedModel(
        manifest, lambda: cache.read(manifest, artefact), Sight(640, 384, grows=True), manifest.live()
    )


def portrait(cache: ModelCache) -> np.ndarray:
    manifest = MANIFESTS["astronaut"]
    (artefact,) = manifest.artefacts.values()
    return cv2.imdecode(np.frombuffer(cache.read(manifest, artefact), np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.models
@by_itself
async def test_what_goes_through_it_by_name_is_what_the_model_gives(
    jetson: Jetson, model_cache: ModelCache
) -> None:
    model, picture = yunet(model_cache), shown(portrait(model_cache))
    fixed = dataclasses.replace(model, sight=Sight(640, 384))
    async with (
        open_detector(OPTIONS, model) as there,
        detector_onnx.open_detector(OnnxOptions(driver="onnx"), fixed) as here,
    ):
        found = there.detect(picture)
        assert found == here.detect(picture)
        assert len(found) > 0
        assert there.sight == Sight(640, 384)
    (built,) = jetson.trt.built
    assert built["flags"] == ("fp16",)


@pytest.mark.models
@by_itself
async def test_a_plan_is_built_once_and_kept_for_this_user_alone(
    jetson: Jetson, model_cache: ModelCache
) -> None:
    for _ in range(2):
        async with open_detector(OPTIONS, yunet(model_cache)):
            pass
    assert len(jetson.trt.built) == 1
    (kept,) = default_plans().iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def opened_to_all(path: Path) -> None:
    path.chmod(0o666)


def given_away(path: Path) -> None:
    os.chown(path, 12345, 12345)


def linked(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.models
@pytest.mark.parametrize("harm", [damaged, truncated, emptied, opened_to_all, given_away, linked])
@by_itself
async def test_a_plan_that_cannot_be_trusted_is_built_anew(
    harm: Callable[[Path], None], jetson: Jetson, model_cache: ModelCache
) -> None:
    async with open_detector(OPTIONS, yunet(model_cache)):
        pass
    harm(next(default_plans().iterdir()))
    for _ in range(2):
        async with open_detector(OPTIONS, yunet(model_cache)) as detector:
            assert detector.detect(shown(portrait(model_cache)))
    assert len(jetson.trt.built) == 2, "once for the harm, and then kept again"


@pytest.mark.models
@by_itself
async def test_a_plan_that_tensorrt_does_not_take_is_built_anew(
    jetson: Jetson, model_cache: ModelCache
) -> None:
    async with open_detector(OPTIONS, yunet(model_cache)):
        pass
    jetson.trt.takes_kept = False
    jetson.trt.built.clear()
    async with open_detector(OPTIONS, yunet(model_cache)):
        pass
    assert len(jetson.trt.built) == 1


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(PlanKey)])
def test_everything_that_a_plan_depends_on_is_in_its_name(field: str) -> None:
    other = (1, 2) if field == "size" else "other"
    assert dataclasses.replace(KEY, **{field: other}).name != KEY.name


def test_a_kill_in_the_middle_of_writing_leaves_no_plan(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    pid = os.fork()
    if not pid:
        Path.replace = lambda self, target: os._exit(0)  # type: ignore[method-assign,assignment]
        cache.write(KEY, b"x" * 1000)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert cache.read(KEY) is None
    cache.write(KEY, b"whole")
    assert cache.read(KEY) == b"whole"


def test_a_folder_that_cannot_be_written_costs_a_build_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = PlanCache(tmp_path / "file")
    cache.write(KEY, b"plan")
    assert cache.read(KEY) is None


@pytest.mark.models
@by_itself
async def test_a_gpu_without_fast_16_bits_gets_32(jetson: Jetson, model_cache: ModelCache) -> None:
    jetson.trt.fast_fp16 = False
    async with open_detector(OPTIONS, yunet(model_cache)):
        pass
    assert jetson.trt.built[0]["flags"] == ()


@by_itself
async def test_a_file_that_is_no_model_is_said(jetson: Jetson) -> None:
    manifest = MANIFESTS["yunet-s"]
    model = LoadedModel(manifest, lambda: b"no model", Sight(640, 384, grows=True), manifest.live())
    with pytest.raises(DetectorFailed, match="cannot read the model: not an ONNX file"):
        async with open_detector(OPTIONS, model):
            pass


@pytest.mark.models
@by_itself
async def test_a_call_of_cuda_that_fails_is_named(jetson: Jetson, model_cache: ModelCache) -> None:
    async with open_detector(OPTIONS, yunet(model_cache)) as detector:
        jetson.cudart.fails = "cudaMemcpyAsync"
        with pytest.raises(DetectorFailed, match="cudaMemcpyAsync failed with CUDA error 2"):
            detector.detect(shown(portrait(model_cache)))
        jetson.cudart.fails = ""


@by_itself
async def test_without_jetpack_the_error_names_it_and_not_pip() -> None:
    manifest = MANIFESTS["yunet-s"]
    model = LoadedModel(manifest, lambda: b"", Sight(640, 384), manifest.live())
    with pytest.raises(DriverUnavailable, match="apt install python3-libnvinfer") as caught:
        async with open_detector(OPTIONS, model):
            pass
    assert "pip install" not in str(caught.value)
