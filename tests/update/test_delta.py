"""A delta makes the very payload that was signed, or none at all; then the whole is read."""

import io
import json
import os
from pathlib import Path
from random import Random

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.update.archive import PIECE
from firmware.update.delta import LARGEST_PATCHED, apply_delta, make_delta
from ota.author import pack
from ota.errors import Code, UpdateRefused
from ota.stream import sealed_length
from tests.ota.test_metadata import refused
from tests.update.test_agent import Board, board, packed

__all__ = ["board"]

NOISE = Random(7).randbytes(300_000)  # noqa: S311 - the same each time


def version(folder: Path, changed: bytes) -> Path:
    """A version: a file that changes, a large one that stays, folders, links, an empty file."""
    (folder / "lib" / "empty").mkdir(parents=True)
    (folder / "lib" / "module.py").write_bytes(NOISE[:200_000] + changed + NOISE[200_000:])
    (folder / "lib" / "stays").write_bytes(NOISE * 10)
    (folder / "nothing").touch()
    (folder / "run").write_bytes(b"#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("lib/module.py")
    return folder


def made(base: Path, folder: Path) -> bytes:
    out = io.BytesIO()
    make_delta(base, folder, out)
    return out.getvalue()


def applied(delta: bytes, base: Path, limit: int = 1 << 30) -> bytes:
    out = io.BytesIO()
    apply_delta(io.BytesIO(delta), base, out, limit)
    return out.getvalue()


def whole(folder: Path) -> bytes:
    out = io.BytesIO()
    pack(folder, out)
    return out.getvalue()


def test_a_delta_and_its_base_make_the_signed_payload_to_the_byte(tmp_path: Path) -> None:
    old, new = version(tmp_path / "old", b"one"), version(tmp_path / "new", b"another one")
    (new / "lib" / "stays").rename(new / "lib" / "moved")
    (new / "lib" / "stays").write_bytes(NOISE * 10)
    (new / "brand new").write_bytes(b"text " * 100_000)
    delta = made(old, new)
    assert applied(delta, old) == whole(new)
    assert made(old, new) == delta, "the same whoever makes it"


def test_a_change_of_one_module_is_a_small_delta(tmp_path: Path) -> None:
    old, new = version(tmp_path / "old", b"one"), version(tmp_path / "new", b"another one")
    assert len(made(old, new)) < len(whole(new)) / 1000


def test_a_file_too_large_to_be_held_is_sent_anew(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, mark in ((old, b"1"), (new, b"2")):
        folder.mkdir()
        (folder / "large").write_bytes(mark + bytes(LARGEST_PATCHED))
    assert applied(made(old, new), old) == whole(new)


@pytest.mark.parametrize("change", ["missing", "shorter", "link", "folder behind a link", "fifo"])
def test_another_base_is_refused_or_told_by_the_digest(tmp_path: Path, change: str) -> None:
    old, new = version(tmp_path / "old", b"one"), version(tmp_path / "new", b"two")
    delta, stays = made(old, new), old / "lib" / "stays"
    if change == "shorter":
        stays.write_bytes(NOISE)
    elif change == "folder behind a link":
        (old / "lib").rename(tmp_path / "elsewhere")
        (old / "lib").symlink_to(tmp_path / "elsewhere")
    else:
        stays.unlink()
    if change == "link":
        stays.symlink_to("/etc/passwd")
    elif change == "fifo":
        os.mkfifo(stays)
    refused(Code.CORRUPT, lambda: applied(delta, old))


def record(content: bytes, **head: object) -> bytes:
    told = json.dumps({"name": "a", "mode": 420, "kind": "file", "body": len(content)} | head).encode()
    return len(told).to_bytes(4) + told + content


RUBBISH = {
    "a path outside": record(b"", name="../x", size=0, how="base"),
    "an absolute path": record(b"", name="/x", size=0, how="base"),
    "no size": record(b"", how="base"),
    "a size below zero": record(b"", size=-1, how="base"),
    "a body below zero": record(b"", size=1, how="new", body=-1),
    "more than was signed": record(b"", size=1 << 40, how="new"),
    "no frame": record(b"rubbish rubbish", size=4, how="new"),
    "no body": record(b"", size=4, how="new"),
    "a way that is unknown": record(b"", size=4, how="copy"),
    "a kind that is unknown": record(b"", kind="device", size=0),
    "a head too long": (1 << 20).to_bytes(4) + bytes(100),
    "half a length": b"\0\0",
    "two meanings": (24).to_bytes(4) + b'{"name":"a","name":"b" }',
    "numbers beyond": record(b"", size=1e400, how="new"),
}


@pytest.mark.parametrize("what", RUBBISH)
def test_rubbish_is_refused(tmp_path: Path, what: str) -> None:
    (tmp_path / "a").write_bytes(b"abcd")
    with pytest.raises(UpdateRefused) as told:
        applied(RUBBISH[what], tmp_path, 1 << 20)
    assert told.value.code in (Code.MALFORMED, Code.CORRUPT)


def test_a_frame_that_makes_more_than_stated_is_cut_off(tmp_path: Path) -> None:
    bomb = zstd.compress(bytes(1 << 28))
    assert len(bomb) < PIECE
    refused(Code.CORRUPT, lambda: applied(record(bomb, size=10, how="new"), tmp_path))
    refused(Code.CORRUPT, lambda: applied(record(bomb, size=0, how="new"), tmp_path))
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    wide = packer.compress(NOISE) + packer.flush()
    refused(Code.CORRUPT, lambda: applied(record(wide, size=len(NOISE), how="new"), tmp_path))


@settings(max_examples=int(os.environ.get("VEILCAM_EXAMPLES", "60")), deadline=None)
@given(data=st.data())
def test_whatever_is_changed_in_a_delta_is_refused_or_bounded(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    if not folder.exists():
        version(folder / "old", b"one")
        version(folder / "new", b"two")
    delta = bytearray(made(folder / "old", folder / "new"))
    for _ in range(data.draw(st.integers(1, 4))):
        delta[data.draw(st.integers(0, len(delta) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(delta)))
    limit = len(whole(folder / "new"))
    out, codes = io.BytesIO(), {Code.CORRUPT}
    try:
        apply_delta(io.BytesIO(bytes(delta[:cut])), folder / "old", out, limit)
    except UpdateRefused as exc:
        codes.add(exc.code)
    assert codes <= {Code.CORRUPT, Code.MALFORMED}
    assert len(out.getvalue()) < limit + (1 << 20)


def install(board: Board, counter: int, base: int) -> tuple[bytes, int]:
    """Build a version with a delta from another one; returns the bundle and the delta's length."""
    folder, old = board.shop.folder / f"v{counter}", board.shop.folder / f"v{base}"
    plain = packed(folder, f"version {counter}")
    delta = made(old, folder)
    running = board.slots.running()
    assert running is not None
    release, bundle = board.shop.build(plain, counter, deltas={running: io.BytesIO(delta)})
    return bundle, release.deltas[0].sealed_length


class Counted(io.BytesIO):
    """Counts what is read of it."""

    got = 0

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        size = super().readinto(buffer)
        self.got += size
        return size


def test_a_device_reads_the_delta_alone(board: Board) -> None:
    board.update(1)
    bundle, length = install(board, 2, 1)
    file = Counted(bundle)
    board.agent().install(file)
    assert file.got == length
    assert board.start() == "version 2"
    board.confirm()


@pytest.mark.parametrize("change", ["base", "delta"])
def test_where_the_delta_does_not_fit_the_whole_is_read(board: Board, change: str) -> None:
    board.update(1)
    bundle, length = install(board, 2, 1)
    whole_length = len(packed(board.shop.folder / "v2", "version 2"))
    content = bytearray(bundle)
    if change == "base":
        running = board.slots.running()
        assert running is not None
        tree = board.slots.tree(running)
        assert tree is not None
        (tree / "lib" / "large").write_bytes(b"version 9" * 40_000)
    else:
        content[-sealed_length(whole_length) - length // 2] ^= 1
    board.agent().install(io.BytesIO(bytes(content)))
    assert board.start() == "version 2"
    board.confirm()
    assert not [path for path in board.state.rglob("*") if path.name == ".delta"], "I3"


def test_a_device_that_runs_something_else_reads_the_whole(board: Board) -> None:
    board.update(1)
    bundle, _ = install(board, 2, 1)
    board.update(3)
    board.slots.keep(set())
    file = Counted(bundle)
    refused(Code.ROLLBACK, lambda: board.agent().install(file))
    fourth = board.bundle(4, deltas={"0" * 32: io.BytesIO(b"for others")})
    board.agent().install(io.BytesIO(fourth))
    assert board.start() == "version 4"
