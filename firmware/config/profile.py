"""Board profiles (`boards/*.toml`): which camera, detectors and encoder a board binds."""

from collections.abc import Sequence
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


def matching_profile(root: Path = Path("/")) -> Profile | None:
    """Return the board this machine is, by its device tree under `root`; None if it is no known board."""
    try:
        entries = (root / COMPATIBLE).read_bytes().decode("ascii", "replace").rstrip("\0").split("\0")
    except OSError:
        return None
    for path in board_files():
        profile = load_profile(path)
        if set(profile.compatible) & set(entries):
            return profile
    return None


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
