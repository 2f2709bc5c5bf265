"""Logs of writes as the rig replays them: what was flushed is there, and what was not may be."""

import struct
import subprocess
from pathlib import Path

import pytest

from hil.emulated.replay import FLUSH, FUA, Cut, Entry, Log, cuts, leave

SECTOR = 512


def logged(path: Path, requests: list[tuple[int, bytes, int]]) -> Log:
    """Write a log of requests: sector, data, flags."""
    body = b""
    for sector, data, flags in requests:
        head = struct.pack("<QQQQ", sector, len(data) // SECTOR, flags, 0)
        body += head.ljust(SECTOR, b"\0") + data
    head = struct.pack("<QQQI", 0x6A736677736872, 1, len(requests), SECTOR)
    path.write_bytes(head.ljust(SECTOR, b"\0") + body)
    return Log(path)


def block(letter: str, count: int = 1) -> bytes:
    return letter.encode() * SECTOR * count


REQUESTS = [
    (0, block("a", 4), 0),
    (0, b"", FLUSH),
    (2, block("b", 8), 0),
    (20, block("c"), FUA),
    (30, block("d", 2), 0),
]


def test_what_was_flushed_is_there_at_any_cut_and_the_rest_may_be(tmp_path: Path) -> None:
    log = logged(tmp_path / "log", REQUESTS)
    entries = list(log)
    assert entries[3] == Entry(20, 1, FUA, entries[3].at)
    seen = set()
    for seed in range(200):
        disk = tmp_path / "disk"
        disk.write_bytes(bytes(64 * SECTOR))
        leave(log, entries, Cut(5, seed), disk)
        left = disk.read_bytes()
        assert left[: 2 * SECTOR] == block("a", 2)
        assert left[20 * SECTOR : 21 * SECTOR] == block("c"), "FUA is a flush of its own"
        middle = left[2 * SECTOR : 10 * SECTOR]
        for n in range(8):
            sector = middle[n * SECTOR : (n + 1) * SECTOR]
            assert sector in (block("b"), block("a") if n < 2 else bytes(SECTOR)), (
                "no sector is torn in itself"
            )
        seen.add(middle)
    assert {block("b", 8), block("a", 2) + bytes(6 * SECTOR)} < seen, "all of it, none of it"
    assert len(seen) > 20, "and torn writes"


def test_nothing_after_the_cut_is_there(tmp_path: Path) -> None:
    log = logged(tmp_path / "log", REQUESTS)
    disk = tmp_path / "disk"
    for seed in range(20):
        disk.write_bytes(bytes(64 * SECTOR))
        leave(log, list(log), Cut(2, seed), disk)
        assert disk.read_bytes() == block("a", 4) + bytes(60 * SECTOR)


def test_cuts_are_all_over_a_log_and_the_same_for_the_same_seed(tmp_path: Path) -> None:
    entries = [Entry(n, 1, FLUSH if n % 10 == 9 else 0, 0) for n in range(1000)]
    found = cuts(entries, 100, seed=1)
    assert found == cuts(entries, 100, seed=1)
    assert found != cuts(entries, 100, seed=2)
    assert min(cut.entry for cut in found) < 100
    assert max(cut.entry for cut in found) > 900


def test_a_log_that_qemu_makes_is_read(tmp_path: Path) -> None:
    disk, log = tmp_path / "disk", tmp_path / "log"
    disk.write_bytes(bytes(1 << 20))
    log.write_bytes(b"")
    files = f"file.driver=file,file.filename={disk},log.driver=file,log.filename={log}"
    chain = f"driver=blklogwrites,{files},log-sector-size=512"
    words = ["-c", "write -P 0x61 4096 1024", "-c", "flush", "-c", "write -P 0x62 8192 512"]
    subprocess.run(["qemu-io", "--image-opts", chain, *words], check=True, capture_output=True, timeout=60)
    made = Log(log)
    entries = list(made)
    writes = [(one.sector, one.count) for one in entries if one.count]
    assert writes[:2] == [(8, 2), (16, 1)]
    assert any(one.flags & FLUSH for one in entries)
    fresh = tmp_path / "fresh"
    fresh.write_bytes(bytes(1 << 20))
    leave(made, entries, Cut(len(entries), 0), fresh)
    assert fresh.read_bytes()[4096 : 4096 + 1024] == b"a" * 1024


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(bytes(SECTOR))
    with pytest.raises(ValueError, match="is no log of writes"):
        Log(tmp_path / "log")
