"""Builds what the emulated machine starts from, once for the same files: its image, and releases for it."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOARD = "emulated-arm64"
PI = "pi"
INPUTS = ("firmware", "ota", "boards", "models", "scripts/image", "scripts/images", "scripts/system")
FILES = ("requirements/run.lock", "pyproject.toml", "scripts/debian.sh")
WITHIN_S = 1200.0

Change = Callable[[Path], None]


def cache(board: str) -> Path:
    """Return where images of a board are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "veilcam" / ("rig" if board == BOARD else f"rig-{board}")


def fingerprint() -> str:
    """Return what names an image: the hash of everything of the project's that goes into it."""
    found = hashlib.sha256()
    paths = [path for name in INPUTS for path in [ROOT / name, *(ROOT / name).rglob("*")]]
    for path in sorted([*paths, *(ROOT / name for name in FILES)]):
        if path.is_file() and path.suffix != ".pyc":
            found.update(f"{path.relative_to(ROOT)}\0".encode())
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


def image(board: str = BOARD) -> Path:
    """Return the folder of a board's image, built where it is not there yet; older ones go."""
    kept = cache(board)
    folder = kept / fingerprint()
    if not (folder / "SHA256SUMS").exists():
        say(f"building the image {board!r} (a minute, several where nothing is cached)")
        kept.mkdir(parents=True, exist_ok=True)
        for stale in kept.iterdir():
            shutil.rmtree(stale)
        part = Path(tempfile.mkdtemp(dir=kept))
        run([str(ROOT / "scripts" / "image"), board, "--out", str(part)])
        part.rename(folder)
    return folder


def release(folder: Path, name: str, change: Change) -> Path:
    """Return a release made of the image's own, with its root changed; built once for each name."""
    made = folder / name
    if not (made / "boot.img").exists():
        say(f"building the release {name!r}")
        with tempfile.TemporaryDirectory(dir=folder) as work:
            root, kernel = Path(work) / "root", Path(work) / "vmlinuz"
            run(
                [
                    "unsquashfs",
                    "-quiet",
                    "-no-progress",
                    "-d",
                    str(root),
                    str(folder / "release" / "root.img"),
                ]
            )
            run(["mcopy", "-i", str(folder / "release" / "boot.img"), "::vmlinuz", str(kernel)])
            change(root)
            pack = [str(ROOT / "scripts" / "images" / "pack"), str(root), str(kernel), str(made)]
            run(pack, {"SOURCE_DATE_EPOCH": "1"})
    return made


def picamera2(folder: Path) -> Path:
    """Return an archive of picamera2 itself, fetched once, for a machine that has libcamera."""
    wanted = Path(__file__).with_name("picamera2.txt")
    made = folder / f"picamera2-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:16]}.tar.gz"
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            asked = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--quiet", "--target", work]
            run([sys.executable, "-m", "pip", "install", *asked, "--requirement", str(wanted)])
            run(["tar", "-C", work, "-czf", str(made), "."])
    return made


def disk(folder: Path, out: Path) -> None:
    """Make a disk that nothing was written to yet; the image below it stays as it was built."""
    out.unlink(missing_ok=True)
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(folder / "veilcam.img"), "-F", "raw", str(out)])


def drive(disk: Path, log: Path | None) -> str:
    """Return QEMU's words for the machine's disk; with `log` every write and flush is noted there."""
    words = f"-blockdev driver=qcow2,node-name=disk,file.driver=file,file.filename={disk}"
    top = "disk"
    if log is not None:
        log.touch()
        top = "logged"
        noted = f"log.driver=file,log.filename={log},log-sector-size=512"
        words += f" -blockdev driver=blklogwrites,node-name=logged,file=disk,{noted}"
    return f"{words} -device virtio-blk-pci,drive={top},bootindex=0"


def run(command: list[str], more: dict[str, str] | None = None) -> None:
    """Run one step of the build; its words go where the tests' words go."""
    subprocess.run(
        command,
        check=True,
        cwd=ROOT,
        env={**os.environ, **(more or {})},
        timeout=WITHIN_S,
        stdout=sys.__stderr__,
        stderr=sys.__stderr__,
    )


def say(text: str) -> None:
    """Print a line past pytest's capture: this takes a while."""
    print(f"hil: {text}", file=sys.__stderr__, flush=True)
