"""Board profiles (`boards/*.toml`): which camera, detectors and encoder a board binds."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field, ValidationError

from firmware.config.drivers import (
    CameraOptions,
    DetectorOptions,
    EncoderOptions,
    FileOptions,
    LampOptions,
    RtspOptions,
    SceneOptions,
    V4l2Options,
)
from firmware.config.strict import Strict, explain, read_toml
from firmware.errors import SourceNotFound, UnknownBoard
from firmware.resources import boards_dir

COMPATIBLE = Path("proc/device-tree/compatible")
MEMORY = Path("proc/meminfo")


class LookProfile(Strict):
    """How often and how patiently the board looks for people."""

    rate_hz: float = Field(default=10.0, gt=0, le=60, description="Looks per second.")
    size: Literal["full", "small"] = Field(
        default="full", description="Input of the networks; small for boards that cannot keep up with full."
    )
    deadline_s: float = Field(default=0.4, gt=0, le=2, description="A later answer makes the picture blind.")
    chain: str = Field(
        default="auto", description="A chain of models/chains.toml; auto takes the best there is."
    )


Boot: TypeAlias = Literal["directory", "tryboot", "uboot", "nvbootctrl", "rauc"]


class Profile(Strict):
    """One `boards/NAME.toml`."""

    name: str
    title: str
    compatible: tuple[str, ...] = Field(
        default=(), description="Entries of the device tree's `compatible` that this board has."
    )
    most_memory_mib: int | None = Field(
        default=None, gt=0, description="The board is this one only with so much memory at most."
    )
    camera: CameraOptions
    detectors: tuple[DetectorOptions, ...] = Field(min_length=1, description="In order of preference.")
    encoder: EncoderOptions
    look: LookProfile = LookProfile()
    lamp: LampOptions | None = Field(
        default=None, description="Is lit while somebody sees the raw picture; no lamp where left out."
    )
    boot: Boot = Field(
        default="directory",
        description="Where updates go: folders, or the two system slots of an image that was flashed for it, "
        "by the Raspberry Pi's tryboot, U-Boot, the Jetson's nvbootctrl, or RAUC.",
    )
    keys: Literal["file", "tpm"] = Field(
        default="file",
        description="What a new device binds its keys to: nothing, or the board's TPM 2.0 (tpm2-tools).",
    )


def load_profile(path: Path) -> Profile:
    """Read and check one board file; raises ConfigError with file, key and reason."""
    try:
        return Profile.model_validate(read_toml(path))
    except ValidationError as exc:
        raise explain(path, exc) from exc


def board_files(folder: Path | None = None) -> Sequence[Path]:
    """Return the board files of the installation."""
    return sorted((folder or boards_dir()).glob("*.toml"))


def find_profile(name_or_file: str) -> Profile:
    """Return the profile of a shipped board, or of a board file somebody wrote.

    Raises:
        UnknownBoard: no shipped board has that name and no file does.
        ConfigError: the file is not valid.
    """
    files = {path.stem: path for path in board_files()}
    if name_or_file in files:
        return load_profile(files[name_or_file])
    path = Path(name_or_file)
    if path.suffix == ".toml" and path.is_file():
        return load_profile(path)
    raise UnknownBoard(
        f"no board is called {name_or_file!r}; choose one of {', '.join(files)}, or name a .toml file"
    )


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine says of itself: its device tree's `compatible`, and its memory in MiB."""

    compatible: tuple[str, ...]
    memory_mib: int

    def is_one(self, profile: Profile) -> bool:
        """Tell whether it is the board of a profile."""
        fits = profile.most_memory_mib is None or self.memory_mib <= profile.most_memory_mib
        return fits and not set(profile.compatible).isdisjoint(self.compatible)


def this_machine(root: Path = Path("/")) -> Machine:
    """Return what the machine under `root` says of itself; nothing where it has no device tree."""
    try:
        text = (root / COMPATIBLE).read_bytes()[:4096].decode("ascii", "replace").rstrip("\0")
    except OSError:
        text = ""
    try:
        told = re.search(r"^MemTotal:\s+(\d+) kB", (root / MEMORY).read_text(encoding="ascii"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        told = None
    return Machine(tuple(text.split("\0")) if text else (), int(told[1]) // 1024 if told else 0)


def matching_profile(root: Path = Path("/")) -> Profile | None:
    """Return the board that the machine under `root` is; None if it is no known board."""
    machine = this_machine(root)
    found = [profile for path in board_files() if machine.is_one(profile := load_profile(path))]
    # Of two boards with one name in the device tree the one for less memory is meant for this one.
    return min(found, key=lambda one: one.most_memory_mib or sys.maxsize, default=None)


def chosen_profile(board: str | None) -> Profile:
    """Return the named board's profile, else this machine's own, else the laptop's; as `find_profile`."""
    if board is not None:
        return find_profile(board)
    return matching_profile() or find_profile("laptop")


def camera_from_uri(uri: str) -> CameraOptions:
    """Return the options of the camera that `--source URI` names.

    Raises:
        SourceNotFound: it is no known kind of address and no file either.
        ConfigError: the address is not valid for its driver.
    """
    try:
        if uri == "scene:":
            return SceneOptions(driver="scene")
        if uri.startswith("v4l2:"):
            return V4l2Options(driver="v4l2", device=uri.removeprefix("v4l2:") or "/dev/video0")
        if uri.startswith(("rtsp://", "rtsps://")):
            return RtspOptions(driver="rtsp", url=uri)
    except ValidationError as exc:
        raise explain("--source", exc) from exc
    path = Path(uri.removeprefix("file:"))
    if not path.is_file():
        scheme, address, _ = uri.partition("://")
        # An address of a kind that is not known may hold a password all the same.
        raise SourceNotFound(
            f"--source {scheme}{address and '://...'}: no such file; give a clip, scene:, v4l2:/dev/video0 or rtsp://address"
        )
    return FileOptions(driver="file", path=str(path))
