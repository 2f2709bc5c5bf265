"""Bad input to `veilcam run`: one line that says what to do, an exit code of its own, nothing served."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware import errors
from firmware.config.model import ModelCache, load_manifests
from firmware.config.profile import board_files
from tests.drivers.clips import write_clip

pytestmark = pytest.mark.models

SCENE = board_files()[0].parent / "laptop.toml"


def veilcam(
    *args: str, env: dict[str, str] | None = None, seconds: int = 60
) -> subprocess.CompletedProcess[str]:
    """Run the command as an operator would."""
    return subprocess.run(
        [sys.executable, "-m", "firmware", *args],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env={**os.environ, "VEILCAM_ICE_ADDRESSES": "loopback", **(env or {})},
    )


def check_fails(
    done: subprocess.CompletedProcess[str], error: type[errors.VeilcamError], *words: str
) -> None:
    """Check that a run ended with one line, this error's code and these words."""
    assert done.returncode == error.exit_code, done.stderr
    lines = [
        line
        for line in done.stderr.splitlines()
        if line.startswith("veilcam: ") and not any(word in line for word in ("looking with", "claim code"))
    ]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0]


@pytest.fixture
def run(tmp_path: Path, model_cache: ModelCache) -> list[str]:
    """The beginning of a command line that would run here."""
    return ["run", "--board", "laptop", "--state", str(tmp_path / "state"), "--listen", "127.0.0.1:0"]


def test_missing_file(run: list[str]) -> None:
    done = veilcam(*run, "--source", "/nowhere/clip.mp4")
    check_fails(done, errors.SourceNotFound, "/nowhere/clip.mp4", "no such file", "scene:")
    assert "ready" not in done.stdout


def test_corrupt_clip(run: list[str], tmp_path: Path) -> None:
    clip = tmp_path / "noise.mp4"
    clip.write_bytes(os.urandom(4000))
    done = veilcam(*run, "--source", str(clip))
    check_fails(done, errors.SourceCorrupt, "noise.mp4")
    assert "ready" not in done.stdout


def test_camera_unplugged_while_it_runs(run: list[str], tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    write_clip(whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    done = veilcam(*run, "--source", str(cut))
    check_fails(done, errors.CameraLost, "breaks off after", "copy it again")
    assert done.stdout.startswith("ready http://127.0.0.1:")


def test_clip_that_is_not_to_loop_is_over_without_a_failure(run: list[str], tmp_path: Path) -> None:
    clip, board = tmp_path / "clip.mp4", tmp_path / "once.toml"
    write_clip(clip)
    camera = f'driver = "file"\npath = "{clip}"\nloop = false'
    board.write_text(SCENE.read_text(encoding="utf-8").replace('driver = "scene"', camera), encoding="utf-8")
    done = veilcam("run", "--board", str(board), *run[3:])
    check_fails(done, errors.EndOfSource, "clip.mp4 has ended")
    assert done.returncode == 0


def test_bench_of_a_clip_that_breaks_off(run: list[str], tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    write_clip(whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    done = veilcam("bench", "pipeline", "--board", "laptop", "--source", str(cut))
    check_fails(done, errors.CameraLost, "breaks off after")


def test_unknown_board() -> None:
    check_fails(veilcam("run", "--board", "pi9"), errors.UnknownBoard, "'pi9'", "laptop", "pi5")


def test_unknown_key_in_a_board_file(tmp_path: Path) -> None:
    board = tmp_path / "mine.toml"
    board.write_text(SCENE.read_text(encoding="utf-8") + "\n[privacy]\noff = true\n", encoding="utf-8")
    check_fails(
        veilcam("run", "--board", str(board)), errors.ConfigError, "mine.toml", "unknown key 'privacy'"
    )


ELSEWHERE = {
    "pi5": "sudo apt install python3-picamera2",
    "pi5-2gb": "sudo apt install python3-picamera2",
    "pi4": "sudo apt install python3-picamera2",
    "zero2w": "sudo apt install python3-picamera2",
    "jetson-orin-nano": "sudo apt install python3-gi",
    "jetson-orin-nx": "sudo apt install python3-gi",
}
"""Boards that this machine is not, and what of theirs it lacks."""


@pytest.mark.models
@pytest.mark.parametrize("board", ELSEWHERE)
def test_a_board_elsewhere_is_one_line_that_names_its_package(
    board: str, model_cache: ModelCache, tmp_path: Path
) -> None:
    done = veilcam("run", "--board", board, "--state", str(tmp_path / "state"))
    check_fails(done, errors.DriverUnavailable, ELSEWHERE[board])


@pytest.mark.models
def test_a_coral_board_names_its_package_or_its_models(model_cache: ModelCache, tmp_path: Path) -> None:
    done = veilcam("run", "--board", "pi4-coral", "--state", str(tmp_path / "state"))
    if done.returncode == errors.DriverUnavailable.exit_code:
        check_fails(done, errors.DriverUnavailable, "sudo apt install python3-picamera2")
    else:
        check_fails(done, errors.ModelMissing, "coral")


def test_every_shipped_board_was_tried_here_or_runs_here() -> None:
    runs = {"laptop", "emulated-arm64", "pi4-coral"}
    assert {path.stem for path in board_files()} == runs | set(ELSEWHERE)


def test_unknown_setting(run: list[str], tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('hide = "nobody"\n', encoding="utf-8")
    check_fails(veilcam(*run, "--settings", str(settings)), errors.ConfigError, "settings.toml", "hide")


@pytest.fixture
def spoilt_cache(tmp_path: Path, model_cache: ModelCache) -> Path:
    """A cache in which one model has the right size and a wrong byte."""
    cache = ModelCache(tmp_path / "cache")
    spoilt = cache.root / "sha256"
    spoilt.mkdir(parents=True)
    for file in (model_cache.root / "sha256").iterdir():
        (spoilt / file.name).symlink_to(file)
    manifests = load_manifests()
    for artefact in (*manifests["yunet"].artefacts.values(), *manifests["yunet-s"].artefacts.values()):
        if cache.has(artefact):
            content = bytearray(cache.path(artefact).read_bytes())
            content[len(content) // 2] ^= 1
            cache.path(artefact).unlink()
            cache.path(artefact).write_bytes(content)
    return cache.root


def test_wrong_model_hash(run: list[str], spoilt_cache: Path) -> None:
    done = veilcam(*run, env={"VEILCAM_CACHE": str(spoilt_cache)})
    check_fails(done, errors.WrongHash, "does not have SHA-256", "fetch-models")
    assert "ready" not in done.stdout


def test_models_missing(run: list[str], tmp_path: Path) -> None:
    done = veilcam(*run, env={"VEILCAM_CACHE": str(tmp_path / "empty")})
    check_fails(done, errors.ModelMissing, "scripts/fetch-models")


def test_no_network_at_set_up(tmp_path: Path) -> None:
    env = {"VEILCAM_CACHE": str(tmp_path / "empty"), "VEILCAM_MODELS_FROM": ""}
    check_fails(
        veilcam("models", "fetch", env=env, seconds=110), errors.NetworkUnavailable, "VEILCAM_MODELS_FROM"
    )


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_port_in_use(run: list[str], taken_port: int) -> None:
    done = veilcam(*run[:-1], f"127.0.0.1:{taken_port}")
    check_fails(done, errors.PortInUse, str(taken_port))


def test_state_folder_of_another_camera(run: list[str], tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    done = veilcam("run", "--board", "laptop", "--listen", "127.0.0.1:0", "--state", str(blocked / "state"))
    check_fails(done, errors.OutputError, "--state")


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["dance"],
        ["run", "--colour"],
        ["bench"],
        ["bench", "pipeline", "--seconds", "soon"],
        ["redact", "a", "b", "--threads", "0"],
    ],
)
def test_wrong_use_is_exit_code_2(args: list[str]) -> None:
    done = veilcam(*args)
    assert done.returncode == 2
    assert "usage: veilcam" in done.stderr


@pytest.mark.parametrize(
    "verb", ["", "run", "redact", "bench", "bench pipeline", "boards", "models", "doctor"]
)
def test_every_verb_has_help(verb: str) -> None:
    done = veilcam(*verb.split(), "--help")
    assert done.returncode == 0
    assert "usage: veilcam" in done.stdout


def test_exit_codes_are_distinct_and_documented() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    codes = {kind.__name__: kind.exit_code for kind in kinds if kind is not errors.VeilcamError}
    assert len(set(codes.values())) == len(codes)
    for name, code in codes.items():
        line = next(line for line in (errors.__doc__ or "").splitlines() if name in line)
        assert line.split()[-1] == str(code)
