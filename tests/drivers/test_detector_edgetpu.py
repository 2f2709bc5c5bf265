"""The Edge TPU's driver against a double of libedgetpu, in a real child process with a real TFLite runtime.

The double has no TPU: it claims nothing of a model, which then runs on the CPU. So this shows the process,
its deadlines, its errors and its end, and the order of segments; not what a TPU finds, nor how fast.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from firmware.config.drivers import EdgetpuOptions, TfliteOptions
from firmware.config.model import LoadedModel, ModelCache, load_manifests
from firmware.core.cuts import Sight
from firmware.core.frames import Kind, Verdict
from firmware.core.heads.ssd import POSTPROCESS, Ssd
from firmware.drivers import detector_edgetpu, detector_tflite
from firmware.drivers.detector_edgetpu import Child, EdgetpuDetector, Ends, open_detector
from firmware.errors import ConfigError, DetectorFailed, DriverUnavailable
from firmware.pipeline.detect import FAILED, LookOptions
from tests.detect.conftest import shown
from tests.drivers.alone import by_itself
from tests.drivers.edgetpu.library import compiled
from tests.drivers.edgetpu.segments import segment
from tests.pipeline.doubles import NumberedCamera, ToldDetector
from tests.pipeline.rig import Rig

MANIFESTS = load_manifests()
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("edgetpu"))


@pytest.fixture
def double(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], EdgetpuOptions]:
    def make(mode: str) -> EdgetpuOptions:
        monkeypatch.setenv("EDGETPU_DOUBLE", mode)
        monkeypatch.setenv("EDGETPU_TRIGGER", str(tmp_path / "trigger"))
        return EdgetpuOptions(driver="edgetpu", library=str(library))

    return make


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = children()
    files = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert children() == before
    assert len(list(Path("/proc/self/fd").iterdir())) <= files + 1


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def blazeface(cache: ModelCache, read: Callable[[], bytes] | None = None) -> LoadedModel:
    manifest = MANIFESTS["blazeface-back"]
    artefact = next(a for a in manifest.artefacts.values() if a.runtime == "tflite")
    taken = read or (lambda: cache.read(manifest, artefact))
    return LoadedModel(manifest, taken, Sight(256, 256), manifest.live())


PICTURE = np.random.default_rng(7).integers(0, 255, (256, 256, 3), np.uint8)


@pytest.mark.models
@by_itself
async def test_it_finds_what_the_runtime_finds_in_this_process(
    double: Callable[[str], EdgetpuOptions], model_cache: ModelCache
) -> None:
    import cv2  # noqa: PLC0415 - for a face alone

    portrait = MANIFESTS["astronaut"]
    (artefact,) = portrait.artefacts.values()
    face = cv2.imdecode(np.frombuffer(model_cache.read(portrait, artefact), np.uint8), cv2.IMREAD_COLOR)
    picture = shown(cv2.resize(face, (256, 256)))
    model = blazeface(model_cache)
    async with (
        open_detector(double("works"), model) as there,
        detector_tflite.open_detector(TfliteOptions(driver="tflite"), model) as here,
    ):
        found = there.detect(picture)
        assert found == here.detect(picture)
        assert len(found) > 0
        assert there.detect(picture) == found
        assert "edgetpu by ai_edge_litert" in there.name
        assert there.sight == Sight(256, 256)


def test_segments_run_one_after_the_other(double: Callable[[str], EdgetpuOptions]) -> None:
    child = Child(double("works"), [segment("a", "b", 8), segment("b", "c", 8)])
    try:
        _, ends = child.begin()
        values = child.look(ends, np.arange(8, dtype=np.float32).reshape(1, 8))
        assert list(values) == ["c"]
        assert values["c"].tolist() == [[4.0 * n for n in range(8)]]
    finally:
        child.close()


@pytest.mark.models
@by_itself
async def test_without_the_library_the_error_says_what_to_install(model_cache: ModelCache) -> None:
    options = EdgetpuOptions(driver="edgetpu", library="libnothing.so.9")
    with pytest.raises(
        DriverUnavailable, match=r"libedgetpu is missing .*libnothing.so.9.*; install libedgetpu"
    ):
        async with open_detector(options, blazeface(model_cache)):
            pass


@pytest.mark.models
@by_itself
async def test_without_a_tpu_it_is_said_and_not_fallen_back_from(
    double: Callable[[str], EdgetpuOptions], model_cache: ModelCache
) -> None:
    with pytest.raises(DetectorFailed, match="no Coral TPU was found: plug it in"):
        async with open_detector(double("none"), blazeface(model_cache)):
            pass


@pytest.mark.models
@by_itself
async def test_a_library_of_another_version_crashes_the_child_alone(
    double: Callable[[str], EdgetpuOptions], model_cache: ModelCache
) -> None:
    with pytest.raises(DetectorFailed, match=r"died of SIGSEGV at a beginning: .*different versions"):
        async with open_detector(double("old"), blazeface(model_cache)):
            pass


@pytest.mark.models
@by_itself
async def test_a_file_that_is_no_model_is_said(
    double: Callable[[str], EdgetpuOptions], model_cache: ModelCache
) -> None:
    with pytest.raises(DetectorFailed, match="does not take the model"):
        async with open_detector(double("works"), blazeface(model_cache, lambda: b"no model at all")):
            pass


@pytest.mark.models
@pytest.mark.parametrize(("how", "said"), [("c", "died of SIGSEGV"), ("h", "no answer to a look within")])
@by_itself
async def test_a_crash_and_a_hang_in_the_middle_end_in_an_error_and_no_process(
    how: str,
    said: str,
    double: Callable[[str], EdgetpuOptions],
    model_cache: ModelCache,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detector_edgetpu, "ANSWER_S", 0.5)
    async with open_detector(double("works"), blazeface(model_cache)) as detector:
        detector.detect(shown(PICTURE))
        (tmp_path / "trigger").write_text(how)
        with pytest.raises(DetectorFailed, match=said):
            look_for_ever(detector)
        (tmp_path / "trigger").unlink()
        with pytest.raises(DetectorFailed, match="failed before"):
            detector.detect(shown(PICTURE))
    async with open_detector(double("works"), blazeface(model_cache)) as again:
        again.detect(shown(PICTURE))


def look_for_ever(detector: EdgetpuDetector) -> None:
    for _ in range(2000):
        detector.detect(shown(PICTURE))


@pytest.mark.models
def test_the_child_ends_with_a_parent_that_is_killed(
    library: Path, model_cache: ModelCache, tmp_path: Path
) -> None:
    manifest = MANIFESTS["blazeface-back"]
    artefact = next(a for a in manifest.artefacts.values() if a.runtime == "tflite")
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from firmware.config.drivers import EdgetpuOptions\n"
        "from firmware.drivers.detector_edgetpu import Child\n"
        f"child = Child(EdgetpuOptions(driver='edgetpu', library={str(library)!r}), "
        f"[Path({str(model_cache.path(artefact))!r}).read_bytes()])\n"
        "child.begin()\nprint(child._process.pid, flush=True)\nsys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "EDGETPU_DOUBLE": "works"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    wait_until_gone(pid)


def wait_until_gone(pid: int) -> None:
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return  # nobody reaps it in a container without an init
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("it outlived whoever started it")


LIAR = """
import json, socket, sys
told = socket.socket(fileno=int(sys.argv[1]))
hello = {"v": 1, "runtime": "x", "input": {"shape": [1, 8], "dtype": "float32"}}
hello["outputs"] = [{"name": "c", "shape": [1, 8]}]
"""
LIES = {
    "another version": ('told.send(json.dumps({**hello, "v": 2}).encode())', "another version"),
    "no JSON": ('told.send(b"hello")', "no JSON"),
    "a list": ('told.send(b"[1]")', "no JSON|no object"),
    "a shape of nothing": (
        'told.send(json.dumps({**hello, "input": {"shape": [0], "dtype": "float32"}}).encode())',
        "makes no sense",
    ),
    "too large": (
        'told.send(json.dumps({**hello, "outputs": [{"name": "c", "shape": [1048576, 1048576]}]}).encode())',
        "makes no sense: it is too large",
    ),
    "a type of no use": (
        'told.send(json.dumps({**hello, "input": {"shape": [1], "dtype": "object"}}).encode())',
        "makes no sense",
    ),
    "no outputs": ('told.send(json.dumps({**hello, "outputs": []}).encode())', "makes no sense"),
    "another ping": (
        "told.send(json.dumps(hello).encode()); told.recv(99); told.send(b'{\"ping\": 99}'); told.recv(9)",
        "something else",
    ),
    "silence": ("told.recv(9)", "no answer to a beginning"),
    "an end": ("sys.exit(5)", "ended with 5"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_child_that_makes_no_sense_is_ended(
    lie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, said = LIES[lie]
    liar = tmp_path / "liar.py"
    liar.write_text(LIAR + text + "\n", encoding="utf-8")
    monkeypatch.setattr(detector_edgetpu, "CHILD", liar)
    monkeypatch.setattr(detector_edgetpu, "INIT_S", 1.5)
    child = Child(EdgetpuOptions(driver="edgetpu"), [b""])
    try:
        with pytest.raises(DetectorFailed, match=said):
            child.begin()
    finally:
        child.close()


def test_a_python_that_is_not_there_is_named() -> None:
    with pytest.raises(DriverUnavailable, match="/nowhere/python3 cannot be run"):
        Child(EdgetpuOptions(driver="edgetpu", python="/nowhere/python3"), [b""])


def test_a_model_of_another_size_than_its_manifest_says_is_refused() -> None:
    told = {"input": {"shape": [1, 4], "dtype": "uint8"}, "outputs": [{"name": "c", "shape": [1]}]}
    ends = Ends.read(told)
    assert ends.outputs == (("c", (1,), 64),)
    with pytest.raises(ConfigError, match="takes"):
        Child.look(object.__new__(Child), ends, np.zeros((1, 5), np.float32))


def test_persons_alone_are_read_out_of_what_the_post_processing_gives() -> None:
    boxes = np.array([[[0.1, 0.2, 0.5, 0.4], [0, 0, 1, 1], [0.5, 0.5, 0.6, 0.6], [0, 0, 1, 1]]], np.float32)
    outputs = {
        POSTPROCESS: boxes,
        f"{POSTPROCESS}:1": np.array([[0, 17, 0, 0]], np.float32),
        f"{POSTPROCESS}:2": np.array([[0.9, 0.9, 0.2, 0.8]], np.float32),
        f"{POSTPROCESS}:3": np.array([3], np.float32),
    }
    found = Ssd().decode(outputs, 300, 200, {Kind.PERSON: 0.3})[Kind.PERSON]
    assert np.allclose(found.boxes, [[60, 20, 60, 80]])
    assert found.scores.tolist() == pytest.approx([0.9])


class Tpu:
    """Opens the detector as a flow does, and counts how often."""

    def __init__(self, options: EdgetpuOptions, model: LoadedModel) -> None:
        self.opened = 0
        self._options, self._model = options, model

    def __call__(self) -> AbstractAsyncContextManager[EdgetpuDetector]:
        self.opened += 1
        return open_detector(self._options, self._model)


LOOK = LookOptions(
    rate_hz=20, deadline_s=1, stall_limit_s=10, restarts=4, backoff_s=0.05, backoff_limit_s=0.1
)


@pytest.mark.models
@pytest.mark.parametrize("how", ["c", "h"])
@by_itself
async def test_a_tpu_that_fails_hides_everything_until_it_is_back(
    how: str,
    double: Callable[[str], EdgetpuOptions],
    model_cache: ModelCache,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detector_edgetpu, "ANSWER_S", 0.3)
    tpu = Tpu(double("works"), blazeface(model_cache))
    rig = Rig(cast("ToldDetector", tpu), NumberedCamera(), LOOK)
    async with rig.running():
        await rig.until(lambda: rig.last(Verdict.VERIFIED))
        (tmp_path / "trigger").write_text(how)
        await rig.until(lambda: rig.flow.report().reason == FAILED)
        (tmp_path / "trigger").unlink()
        failed = len(rig.told)
        await rig.until(lambda: len(rig.told) > failed + 2)
        # One frame may have been judged before the failure was known: not more.
        blind = [told.judgement.verdict is Verdict.BLIND for told in rig.told[failed : failed + 3]]
        assert blind[1:] == [True, True]
        await rig.until(lambda: rig.last(Verdict.VERIFIED))
    assert tpu.opened == 2


@pytest.mark.models
@by_itself
async def test_a_tpu_that_stays_away_ends_the_camera_after_its_restarts_and_shows_nothing(
    double: Callable[[str], EdgetpuOptions], model_cache: ModelCache
) -> None:
    tpu = Tpu(double("none"), blazeface(model_cache))
    rig = Rig(cast("ToldDetector", tpu), NumberedCamera(), LOOK)
    with pytest.raises(ExceptionGroup) as caught:
        async with rig.running():
            await asyncio.sleep(30)
    assert caught.group_contains(DetectorFailed, match="no Coral TPU was found.*gave up after 4 failures")
    assert tpu.opened == 4
    assert set(rig.verdicts) <= {Verdict.BLIND}
