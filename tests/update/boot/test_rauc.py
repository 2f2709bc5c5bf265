"""RAUC over D-Bus: the calls and their order against a peer of ours, the refusal against Debian's RAUC."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.errors import UpdateError
from firmware.update.boot.rauc import Rauc
from ota.errors import Code, UpdateRefused
from tests.ota.test_metadata import refused
from tests.update.boot.boards import put, start
from tests.update.boot.raucd import Bus, RaucBoard


@pytest.fixture
def board(tmp_path: Path) -> Iterator[RaucBoard]:
    with RaucBoard(tmp_path / "board") as made:
        yield made


def installed(board: RaucBoard, text: str) -> str:
    return put(board.slots(), text, board.files(text))


def test_a_bundle_is_installed_marked_tried_and_marked_good(board: RaucBoard) -> None:
    release = installed(board, "one")
    calls = [call.partition(" ")[0] for call in board.heard if not call.startswith("GetSlotStatus")]
    assert calls == ["InstallBundle", "GetPrimary"]
    assert board.state()["primary"] == "rootfs.0", "it is not armed yet"
    board.heard.clear()
    board.slots().arm(release)
    assert start(board) == "one"
    board.slots().confirm(release)
    marks = [call for call in board.heard if call.startswith("Mark")]
    assert marks == ["Mark active rootfs.1", "Mark good rootfs.1", "Mark active rootfs.1"]


def test_what_rauc_refuses_is_refused_with_its_reason(board: RaucBoard) -> None:
    board.refuses = "signature verification failed"
    with pytest.raises(UpdateRefused, match="signature verification failed") as caught:
        installed(board, "one")
    assert caught.value.code is Code.CORRUPT
    assert start(board) == "factory"
    assert not list((board.folder / "slots").glob(".part-*"))


def test_a_rauc_that_never_ends_is_waited_for_within_a_time(board: RaucBoard, tmp_path: Path) -> None:
    board.silent = True
    (tmp_path / "update.raucb").write_bytes(b"x")
    with pytest.raises(UpdateRefused, match="did not end within 1 s"):
        board.control(1).write("b", tmp_path, None)  # type: ignore[arg-type]


def test_a_rauc_that_takes_what_it_wrote_at_once_is_refused_and_undone(board: RaucBoard) -> None:
    board.activates = True
    with pytest.raises(UpdateRefused, match="activate-installed=false"):
        installed(board, "one")
    assert start(board) == "factory"


def test_a_release_without_a_bundle_is_for_another_board(board: RaucBoard) -> None:
    refused(Code.INCOMPATIBLE, lambda: put(board.slots(), "one", {"root.img": b"x"}))


@pytest.mark.parametrize(
    ("version", "good"), [("1.8", False), ("1.15.1", False), ("1.15.2", True), ("1.16", True)]
)
def test_an_old_rauc_is_refused(board: RaucBoard, version: str, good: bool) -> None:
    (board.folder / "rauc").write_text(f"#!/bin/sh\necho rauc {version}\n")
    if good:
        board.slots().require_able()
    else:
        refused(Code.UNSUPPORTED, board.slots().require_able)


def test_debians_rauc_is_refused_by_its_version(board: RaucBoard) -> None:
    said = subprocess.run(
        ["rauc", "--version"], capture_output=True, text=True, check=True, timeout=10
    ).stdout
    assert said.startswith("rauc 1.8"), "a later one: have it install a bundle here"
    with pytest.raises(UpdateRefused, match=r"rauc 1\.8.*1\.15\.2"):
        Rauc(board.bus.address).require_able()


def test_a_bus_without_rauc_and_no_bus_are_told(tmp_path: Path) -> None:
    bus = Bus(tmp_path)
    try:
        with pytest.raises(UpdateError, match="systemctl status rauc"):
            Rauc(bus.address).booted()
    finally:
        bus.close()
    with pytest.raises(UpdateError, match="systemctl status rauc"):
        Rauc(bus.address).booted()
