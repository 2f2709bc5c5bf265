"""Memory with unhidden frames in it is read by nobody else, not even another program of the same user."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from firmware.cli import memory

ROOT = Path(__file__).resolve().parents[2]
FRAME = "a frame that nobody may see"
HOLDS = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
if sys.argv[1] == "private":
    from firmware.cli.memory import keep_private
    keep_private()
secret = bytearray({FRAME!r}.encode() * 1000)
print(id(secret), flush=True)
sys.stdin.read()
"""
READS = """
import sys
try:
    open(f"/proc/{sys.argv[1]}/mem", "rb").close()
    print("read")
except PermissionError:
    print("refused")
"""


def without_rights() -> list[str]:
    """What takes root's right to look into others, where the tests run as root."""
    return ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"] if os.geteuid() == 0 else []


@pytest.mark.parametrize(("how", "told"), [("open", "read"), ("private", "refused")])
def test_another_program_of_the_same_user_cannot_read_it(how: str, told: str, tmp_path: Path) -> None:
    if os.geteuid() != 0 and Path("/proc/sys/kernel/yama/ptrace_scope").read_text().strip() != "0":
        pytest.skip("this machine forbids it whatever we do")
    holder = subprocess.Popen(
        [*without_rights(), sys.executable, "-c", HOLDS, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline().strip().isdigit()
        done = subprocess.run(
            [*without_rights(), sys.executable, "-c", READS, str(holder.pid)],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert done.stdout.strip() == told
    finally:
        holder.communicate(timeout=10)


def test_every_verb_runs_private(tmp_path: Path) -> None:
    code = (
        "import ctypes, sys; from firmware.cli import parser; parser.run(['boards', 'check']); "
        "print('dumpable', ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    assert "dumpable 0" in done.stdout


def test_swap_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "swaps"
    monkeypatch.setattr(memory, "SWAPS", table)
    assert memory.swaps() == []
    table.write_text(
        "Filename\tType\tSize\tUsed\tPriority\n/dev/zram0 partition 1 0 100\n/swapfile file 1 0 -2\n"
    )
    assert memory.swaps() == ["/dev/zram0", "/swapfile"]
