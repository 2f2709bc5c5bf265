"""What is written to a partition is what was signed, or nothing is (E16-E20). Partitions are files here."""

import os
from pathlib import Path

import pytest

from firmware.update.boot import partition
from firmware.update.boot.partition import Partitions, read_past_cache
from firmware.update.boot.port import PAYLOAD
from ota.errors import Code, UpdateRefused
from tests.ota.test_metadata import refused
from tests.update.boot.boards import ROOM, Jetson, Pi, image, packed, put, release_of, start


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    made = Pi(tmp_path / "pi")
    made.slots().arm(put(made.slots(), "one", made.files("one")))
    assert start(made) == "one"
    made.slots().confirm(str(made.slots().on_trial()))
    return made


def content(machine: Pi) -> dict[str, bytes]:
    return {
        f"{kind}_{slot}": machine.part(slot, kind).read_bytes() for slot in "ab" for kind in machine.kinds
    }


def test_e20_what_is_too_large_is_refused_before_the_first_byte_of_either_image(pi: Pi) -> None:
    before = content(pi)
    files = {"boot.img": image("two"), "root.img": image("two", ROOM + 1)}
    refused(Code.INCOMPATIBLE, lambda: put(pi.slots(), "two", files))
    assert content(pi) == before
    assert pi.slots().running() == pi.slots().confirmed()
    fits = {"boot.img": image("two"), "root.img": image("two", ROOM)}
    pi.slots().arm(put(pi.slots(), "two", fits))
    assert start(pi) == "two"


def test_e19_the_slot_that_runs_is_never_written(pi: Pi, tmp_path: Path) -> None:
    writer = Partitions(pi.parts(), pi.switch().booted)
    here = pi.switch().booted()
    refused(Code.BUSY, lambda: writer.check(here, tmp_path))


def test_e16_a_partition_that_is_named_by_a_link_is_refused(pi: Pi) -> None:
    resting = pi.part("a", "root")
    resting.rename(resting.with_name("elsewhere"))
    resting.symlink_to("elsewhere")
    before = resting.read_bytes()
    refused(Code.UNSUPPORTED, lambda: put(pi.slots(), "two", pi.files("two")))
    assert resting.read_bytes() == before


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo"])
def test_a_partition_that_is_none_is_refused(pi: Pi, kind: str) -> None:
    resting = pi.part("a", "root")
    resting.unlink()
    if kind == "folder":
        resting.mkdir()
    elif kind == "fifo":
        os.mkfifo(resting)
        # A pipe would have the camera wait for somebody at its other end.
        held = os.open(resting, os.O_RDWR)
    refused(Code.UNSUPPORTED, lambda: put(pi.slots(), "two", pi.files("two")))
    if kind == "fifo":
        os.close(held)


@pytest.mark.parametrize(
    "files",
    [
        {"boot.img": b"x"},
        {"boot.img": b"x", "root.img": b"x", "run": b"x"},
        {"version": b"x"},
    ],
)
def test_a_release_for_another_kind_of_board_is_refused(pi: Pi, files: dict[str, bytes]) -> None:
    before = content(pi)
    refused(Code.INCOMPATIBLE, lambda: put(pi.slots(), "two", files))
    assert content(pi) == before


def swap(folder: Path, how: str) -> None:
    """Change an image after it was verified."""
    path = folder / "root.img"
    if how == "another file":
        path.with_name("new").write_bytes(image("two", 300_001)[::-1])
        path.with_name("new").rename(path)
    elif how == "in place":
        with path.open("r+b") as file:
            file.seek(200_000)
            file.write(b"?")
    else:
        with (folder / PAYLOAD).open("r+b") as file:
            file.seek(*((10, os.SEEK_SET) if how == "the tar's names" else (-1, os.SEEK_END)))
            file.write(b"?")


@pytest.mark.parametrize("how", ["another file", "in place", "the tar's names", "the tar's end"])
def test_e17_what_is_swapped_after_it_was_verified_is_not_started(pi: Pi, how: str) -> None:
    plain = packed(pi.files("two"))

    def install() -> None:
        with pi.slots().writing(release_of("two", plain)) as folder:
            (folder / PAYLOAD).write_bytes(plain)
            for name, part in pi.files("two").items():
                (folder / name).write_bytes(part)
            swap(folder, how)

    refused(Code.CORRUPT, install)
    assert not pi.slots().has(release_of("two", plain).id)
    assert start(pi) == "one"


@pytest.mark.parametrize("at", [0, 150_000, 300_000])
def test_e18_a_disk_that_gives_back_something_else_is_found_out(
    pi: Pi, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = partition._write_all

    def bad(target: int, piece: bytes) -> None:
        real(target, piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :])

    monkeypatch.setattr(partition, "_write_all", bad)
    with pytest.raises(UpdateRefused) as caught:
        put(pi.slots(), "two", pi.files("two"))
    assert caught.value.code is Code.CORRUPT
    monkeypatch.undo()
    assert start(pi) == "one"
    pi.slots().arm(put(pi.slots(), "two", pi.files("two")))
    assert start(pi) == "two"


@pytest.mark.parametrize("size", [0, 1, 4096, (1 << 20) + 5])
def test_a_partition_is_read_past_the_page_cache(tmp_path: Path, size: int) -> None:
    path, wanted = tmp_path / "part", os.urandom(size)
    path.write_bytes(wanted + b"what lay there before")
    direct = partition._directly(path)
    if direct is None:
        pytest.skip("this file system has no O_DIRECT; the page cache is told to let go instead")
    os.close(direct)
    assert b"".join(map(bytes, read_past_cache(path, size))) == wanted


def test_a_short_partition_does_not_have_the_signed_digest(tmp_path: Path) -> None:
    jetson = Jetson(tmp_path / "jetson")
    plain = packed(jetson.files("two"))
    (tmp_path / "tar").write_bytes(plain)
    (tmp_path / "part").write_bytes(image("two"))
    digest = partition.signed_digest(tmp_path / "tar", {"root.img": tmp_path / "part"})
    assert digest == release_of("two", plain).plain_sha256
    (tmp_path / "part").write_bytes(image("two")[:-1])
    assert digest != partition.signed_digest(tmp_path / "tar", {"root.img": tmp_path / "part"})
