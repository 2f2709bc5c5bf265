"""What scripts/l4t refuses to lay a camera into, each with one line that says what to do."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def l4t(*words: str) -> subprocess.CompletedProcess[str]:
    command = [ROOT / "scripts" / "l4t", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


@pytest.fixture
def tegra(tmp_path: Path) -> Path:
    """Jetson Linux on a disk, as far as it is looked at; its Python is a program of another machine."""
    etc, programs = tmp_path / "rootfs" / "etc", tmp_path / "rootfs" / "usr" / "bin"
    etc.mkdir(parents=True)
    programs.mkdir(parents=True)
    (etc / "nv_tegra_release").write_text("# R38 (release), REVISION: 2.0\n")
    (programs / "python3").symlink_to("python3.12")
    (programs / "python3.12").write_bytes(Path("/bin/true").read_bytes())
    return tmp_path


def test_a_folder_that_is_no_jetson_linux(tmp_path: Path) -> None:
    said = l4t(str(tmp_path))
    assert said.returncode == 2
    assert (
        "no root of Jetson Linux; unpack NVIDIA's sample root there and run its apply_binaries.sh"
        in said.stderr
    )


@pytest.mark.parametrize("python", ["python3.10", None])
def test_an_older_jetpacks_python(tegra: Path, python: str | None) -> None:
    link = tegra / "rootfs" / "usr" / "bin" / "python3"
    link.unlink()
    if python:
        link.symlink_to(python)
    said = l4t(str(tegra))
    assert said.returncode == 2
    assert "take Jetson Linux of JetPack 7" in said.stderr


def test_a_root_of_another_machine(tegra: Path) -> None:
    said = l4t(str(tegra))
    assert said.returncode == 2
    assert "is not for arm64" in said.stderr
    assert not (tegra / "rootfs" / "opt").exists()


def test_a_board_that_there_is_not(tegra: Path) -> None:
    # An ELF header of a 64-bit ARM program is all that is looked at.
    header = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + (2).to_bytes(2, "little")
        + (183).to_bytes(2, "little")
        + bytes(44)
    )
    (tegra / "rootfs" / "usr" / "bin" / "python3.12").write_bytes(header)
    said = l4t(str(tegra), "--board", "jetson-nano")
    assert said.returncode == 2
    assert "there is no board 'jetson-nano'; veilcam boards list has them" in said.stderr
    assert not (tegra / "rootfs" / "opt").exists()


@pytest.mark.parametrize(("words", "told"), [((), "say where"), (("--slots",), "unknown option '--slots'")])
def test_words_that_mean_nothing(words: tuple[str, ...], told: str) -> None:
    said = l4t(*words)
    assert said.returncode == 2
    assert told in said.stderr
    assert "--help" in said.stderr
