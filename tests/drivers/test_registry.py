"""The closed table of drivers and the board files that name them."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.config import drivers as options
from firmware.config.profile import board_files, camera_from_uri, find_profile, load_profile, matching_profile
from firmware.drivers.registry import CAMERAS, DETECTORS, ENCODERS, LAMPS, load
from firmware.errors import ConfigError, DriverUnavailable, SourceNotFound, UnknownBoard, UnknownDriver

TABLES = {"camera": CAMERAS, "detector": DETECTORS, "encoder": ENCODERS, "lamp": LAMPS}
ENTRIES = [(kind, table, name) for kind, table in TABLES.items() for name in table]
SYSTEMS = ("picamera2", "argus", "nvenc")
OPENERS = {kind: f"open_{kind}" for kind in TABLES}


@pytest.mark.parametrize(("kind", "table", "name"), ENTRIES)
def test_every_entry_exists_or_says_what_it_needs(kind: str, table: Mapping[str, str], name: str) -> None:
    assert importlib.util.find_spec(table[name]) is not None
    try:
        module = load(kind, table, name)
    except DriverUnavailable as exc:
        # What belongs to a board's own system; test_camera_contract and test_encoder_contract load these.
        said = name in SYSTEMS and re.search(
            r"needs the package '\w+' of the system: sudo apt install", str(exc)
        )
        if not said:
            raise
        return
    assert callable(getattr(module, OPENERS[kind]))


@pytest.mark.parametrize(
    ("table", "union"),
    [
        (CAMERAS, options.CameraOptions),
        (DETECTORS, options.DetectorOptions),
        (ENCODERS, options.EncoderOptions),
    ],
)
def test_every_entry_has_options_and_no_options_lack_an_entry(
    table: Mapping[str, str], union: object
) -> None:
    members = get_args(get_args(union)[0])
    names = {get_args(member.model_fields["driver"].annotation)[0] for member in members}
    assert names == set(table)


def test_unknown_name_and_missing_package_are_two_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownDriver, match="no camera driver is called 'webcam'; choose one of scene"):
        load("camera", CAMERAS, "webcam")
    monkeypatch.delitem(sys.modules, "firmware.drivers.camera_v4l2", raising=False)
    monkeypatch.setitem(sys.modules, "linuxpy", None)
    monkeypatch.setitem(sys.modules, "linuxpy.video", None)
    monkeypatch.setitem(sys.modules, "linuxpy.video.device", None)
    with pytest.raises(DriverUnavailable, match="needs the package 'linuxpy'; install it with: pip install"):
        load("camera", CAMERAS, "v4l2")


def test_our_own_missing_module_is_not_blamed_on_the_installer() -> None:
    with pytest.raises(ModuleNotFoundError):
        load("camera", {"lost": "firmware.drivers.camera_lost"}, "lost")


@pytest.mark.parametrize("path", board_files(), ids=lambda path: path.stem)
def test_every_shipped_board_is_valid_without_its_hardware(path: Path) -> None:
    assert load_profile(path).name == path.stem


def test_these_boards_are_shipped() -> None:
    assert {path.stem for path in board_files()} == {
        "laptop",
        "pi5",
        "pi4",
        "pi4-coral",
        "pi5-2gb",
        "zero2w",
        "jetson-orin-nano",
        "jetson-orin-nx",
        "emulated-arm64",
    }


TREES = {
    "raspberrypi,5-model-b\0brcm,bcm2712": ("pi5", 8000),
    "raspberrypi,5-model-b\0brcm,bcm2712 ": ("pi5-2gb", 2000),
    "raspberrypi,5-compute-module\0brcm,bcm2712": ("pi5", 4000),
    "raspberrypi,4-model-b\0brcm,bcm2711": ("pi4", 4000),
    "raspberrypi,model-zero-2-w\0brcm,bcm2837": ("zero2w", 420),
    "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234": ("jetson-orin-nano", 7600),
    "nvidia,p3768-0000+p3767-0000\0nvidia,p3767-0000\0nvidia,tegra234": ("jetson-orin-nx", 15000),
    "linux,dummy-virt": ("emulated-arm64", 2000),
}


def machine(root: Path, compatible: str, memory_mib: int) -> Path:
    """Make a folder that says what a machine's /proc says."""
    tree = root / "proc" / "device-tree"
    tree.mkdir(parents=True, exist_ok=True)
    (tree / "compatible").write_bytes(compatible.strip().encode() + b"\0")
    text = f"MemTotal:  {memory_mib * 1024} kB\nMemFree: 1 kB\n"
    (root / "proc" / "meminfo").write_text(text, encoding="ascii")
    return root


@pytest.mark.parametrize("compatible", TREES)
def test_a_board_is_known_by_its_device_tree_and_memory(compatible: str, tmp_path: Path) -> None:
    board, memory = TREES[compatible]
    profile = matching_profile(machine(tmp_path, compatible, memory))
    assert profile is not None
    assert profile.name == board


def test_what_is_no_board_of_ours_is_none(tmp_path: Path) -> None:
    assert matching_profile(tmp_path) is None
    assert matching_profile(machine(tmp_path, "acme,toaster", 1)) is None
    (tmp_path / "proc" / "meminfo").write_bytes(b"\xff")
    assert matching_profile(tmp_path) is None


def test_unknown_board_lists_the_known_ones() -> None:
    with pytest.raises(UnknownBoard, match=r"no board is called 'pi9'; choose one of .*laptop"):
        find_profile("pi9")


def test_unknown_key_of_a_board_file_is_named(tmp_path: Path) -> None:
    board = tmp_path / "mine.toml"
    text = (board_files()[0].parent / "laptop.toml").read_text(encoding="utf-8")
    board.write_text(text.replace('driver = "scene"', 'driver = "scene"\nzoom = 3'), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mine\.toml: unknown key 'camera\.scene\.zoom'"):
        find_profile(str(board))


@given(text=st.text(max_size=300))
def test_any_text_as_a_board_file_is_a_config_error(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    board = tmp_path_factory.mktemp("board") / "any.toml"
    board.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(ConfigError, match=r"any\.toml"):
        load_profile(board)


def test_sources_by_address() -> None:
    assert camera_from_uri("scene:").driver == "scene"
    assert camera_from_uri("v4l2:/dev/video2") == options.V4l2Options(driver="v4l2", device="/dev/video2")
    assert camera_from_uri("rtsp://camera/1").driver == "rtsp"
    with pytest.raises(SourceNotFound, match="no such file; give a clip, scene:"):
        camera_from_uri("/nowhere/clip.mp4")


def test_password_of_a_network_camera_is_not_shown() -> None:
    camera = camera_from_uri("rtsp://user:secret@camera/1")
    assert "secret" not in repr(camera)


def test_application_imports_with_all_hardware_packages_blocked() -> None:
    blocked = [
        "picamera2", "libcamera", "tensorrt", "pycoral", "gi", "cuda", "linuxpy",
        "onnxruntime", "ai_edge_litert", "tflite_runtime",
    ]  # fmt: skip
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); "
        "import firmware.app, firmware.cli.parser as p; p.build(p.VERBS)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
