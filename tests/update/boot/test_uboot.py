"""Records for U-Boot: whole at every cut, and as its own tool makes them. U-Boot itself runs in hil/."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.update.boot.uboot import OFFSETS, SIZE, Record, Uboot
from ota.errors import Code, UpdateRefused
from tests.update.boot.boards import Emulated, put, start

RECORDS = st.builds(
    Record,
    st.integers(0, 999_999_999),
    st.sampled_from("ab"),
    st.sampled_from(["a", "b", "none"]),
    st.booleans(),
)


@pytest.fixture
def board(tmp_path: Path) -> Emulated:
    return Emulated(tmp_path / "board")


@given(RECORDS)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    assert Record.decoded(record.encoded()) == record
    assert len(record.encoded()) == SIZE


@given(RECORDS, st.integers(0, SIZE - 1), st.integers(1, 255))
def test_a_record_that_is_damaged_anywhere_is_none(record: Record, at: int, flip: int) -> None:
    block = bytearray(record.encoded())
    block[at] ^= flip
    assert Record.decoded(bytes(block)) is None


@given(st.binary(min_size=SIZE - 4, max_size=SIZE - 4))
def test_what_is_no_record_under_a_right_checksum_is_none(body: bytes) -> None:
    block = Record(1, "a").encoded()
    assert Record.decoded(block[:4] + body) in (None, Record(1, "a"))


def test_it_is_the_block_that_u_boots_own_tool_makes(tmp_path: Path) -> None:
    text, made = tmp_path / "text", tmp_path / "made"
    text.write_text("seq=7\ngood=a\ntry=b\nspent=0\n", encoding="ascii")
    subprocess.run(["mkenvimage", "-s", str(SIZE), "-p", "0", "-o", made, text], check=True, timeout=30)
    assert made.read_bytes() == Record(7, "a", "b", spent=False).encoded()


def test_a_write_leaves_the_newer_record_alone(board: Emulated) -> None:
    board.switch().mend("a")
    for slot in "babab":
        before = max((one for one in board.records() if one), key=lambda one: one.seq)
        board.switch().keep(slot)
        assert before in board.records()
        newest = max((one for one in board.records() if one), key=lambda one: one.seq)
        assert (newest.good, newest.seq) == (slot, before.seq + 1)


@pytest.mark.parametrize("torn", [0, 1])
def test_a_torn_record_is_written_anew_and_the_other_one_holds(board: Emulated, torn: int) -> None:
    for slot in "ab":
        board.switch().keep(slot)
    board.switch().keep("b")
    board.switch().mend("b")
    content = bytearray(board.state.read_bytes())
    content[OFFSETS[torn] + 100 : OFFSETS[torn] + SIZE] = os.urandom(SIZE - 100)
    board.state.write_bytes(content)
    held = board.records()[1 - torn]
    assert held is not None
    board.switch().mend("b")
    mended = board.records()[torn]
    assert mended is not None
    assert (mended.good, mended.trying) == (held.good, held.trying)


def test_a_trial_that_u_boot_has_begun_is_not_begun_again(board: Emulated) -> None:
    release = put(board.slots(), "one", board.files("one"))
    board.slots().arm(release)
    board.restart()
    assert board.runs() == "one"
    board.restart()
    assert board.runs() == "factory", "it hung: nothing noted that it ran"
    board.slots().boot()
    assert board.slots().failed() == release


def test_a_machine_that_never_ran_a_trial_starts_what_it_was_flashed_with(board: Emulated) -> None:
    assert start(board) == "factory"
    assert Record.decoded(board.state.read_bytes()[:SIZE]) is not None, "and has a record from then on"


def test_g07_records_with_one_number_are_told_apart_by_the_trial_that_was_begun(board: Emulated) -> None:
    armed = Record(9, "a", "b", spent=False)
    for first, second in ((armed, replace(armed, spent=True)), (replace(armed, spent=True), armed)):
        content = bytearray(1 << 13)
        for at, record in zip(OFFSETS, (first, second), strict=True):
            content[at : at + SIZE] = record.encoded()
        board.state.write_bytes(content)
        board.restart()
        assert board.switch().booted() == "a"


def test_a_machine_without_it_is_refused_with_what_to_do(tmp_path: Path, board: Emulated) -> None:
    (tmp_path / "cmdline").write_text("quiet\n")
    with pytest.raises(UpdateRefused, match="flash an image") as caught:
        Uboot(board.state, tmp_path / "cmdline").require_able()
    assert caught.value.code is Code.UNSUPPORTED
    with pytest.raises(UpdateRefused, match="flash an image"):
        Uboot(tmp_path / "missing", board.folder / "cmdline").require_able()
