"""A disk that is full, broken or read-only ends an update cleanly, and what runs is as it was."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.update.test_agent import CHILD, Board, board, check_after_cut, told_of

__all__ = ["board"]

CALLS = ("write", "fsync", "rename", "mkdir", "openat", "symlink")
ENDS = ("UpdateRefused", "OSError", "OutputError", "PermissionError", "FileNotFoundError", "IdentityDamaged")
"""How an update may end where the disk does not do as it is told; the service tells each as one line."""


def failing(board: Board, folder: Path, call: str, error: str, at: int) -> tuple[bool, str]:
    """Install with one call to the kernel that fails; returns whether it came to that, and how it ended."""
    command = [sys.executable, "-c", CHILD, str(board.state), str(folder), "install"]
    # Later calls of the kind fail, too: a full disk stays full. Opening has to work for whoever tidies up.
    inject = f"inject={call}:error={error}:when={at}{'' if call == 'openat' else '+'}"
    log = folder / "log"
    trace = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call}", "-e", inject]
    done = subprocess.run([*trace, *command], check=False, capture_output=True, text=True, timeout=60)
    return "(INJECTED)" in log.read_text(), done.stderr.strip().rpartition("\n")[2]


def calls_before(board: Board, folder: Path, call: str, kept: Path) -> tuple[int, int]:
    """Return which calls of a kind an install makes: from its first word to the disk, to its last."""
    renew(board, kept)
    log = folder / "log"
    command = [sys.executable, "-c", CHILD, str(board.state), str(folder), "install"]
    subprocess.run(
        ["strace", "-f", "-y", "-qq", "-o", str(log), "-e", f"trace={call}", *command],
        check=True,
        capture_output=True,
        timeout=60,
    )
    lines = log.read_text(errors="replace").splitlines()
    ours = [number for number, line in enumerate(lines, 1) if f"{board.state}/slots" in line]
    return (min(ours), max(ours)) if ours else (1, 0)


def renew(board: Board, kept: Path) -> None:
    subprocess.run(["rm", "-rf", str(board.state)], check=True)
    subprocess.run(["cp", "-a", str(kept), str(board.state)], check=True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EROFS", "EDQUOT"])
def test_an_update_ends_cleanly_where_the_disk_fails(board: Board, error: str, tmp_path: Path) -> None:
    """D06-D09: no space, no inode, an error of the medium, read-only in between."""
    board.update(1)
    bundle, folder, kept = board.bundle(2), tmp_path / "told", tmp_path / "kept"
    told_of(board, bundle, folder)
    subprocess.run(["cp", "-a", str(board.state), str(kept)], check=True)
    step, points = int(os.environ.get("VEILCAM_CUT_STEP", "4")), 0
    for call in CALLS:
        first, last = calls_before(board, folder, call, kept)
        for at in range(first, last + 1, step):
            renew(board, kept)
            failed, how = failing(board, folder, call, error, at)
            assert failed
            points += 1
            assert not how or how.partition(":")[0].rpartition(".")[2] in ENDS, how
            parts = list((board.slots.folder / "versions").glob(".part-*"))
            assert all(not any(one.iterdir()) for one in parts), "I5: what was written is gone"
            check_after_cut(board, bundle)
    assert points >= 8
    sys.stdout.write(f"{error}: {points} points, ended cleanly each time\n")
