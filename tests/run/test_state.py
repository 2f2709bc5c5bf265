"""The state folder has one owner; files are written whole or not at all."""

import os
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from firmware.errors import OutputError
from firmware.state import locked, own, tidy, written


def test_made_for_its_owner_alone(tmp_path: Path) -> None:
    with own(tmp_path / "deep" / "state") as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_second_owner_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    with own(tmp_path), pytest.raises(OutputError, match="in use by another camera"), own(tmp_path):
        pass
    with own(tmp_path) as folder:
        assert folder == tmp_path


def test_place_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="choose another with --state"), own(tmp_path / "file" / "state"):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_place_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError), own(tmp_path / "state"):
        pass


def test_written_is_there_whole_and_what_was_there_before_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "settings"
    for content in (b"old", b"new"):
        with written(path) as part:
            part.write_bytes(content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_an_error_while_writing_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    path.write_bytes(b"old")

    def fail() -> None:
        with written(path) as part:
            part.write_bytes(b"ne")
            raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_reaches_the_disk_before_its_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def rename(self: Path, target: Path) -> Path:
        order.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    with written(tmp_path / "settings") as part:
        part.write_bytes(b"new")
        assert order == []
    assert order == ["file", "name", "folder"]


WRITES = """
import itertools, sys
from pathlib import Path
from firmware.state import written
for n in itertools.count():
    with written(Path(sys.argv[1])) as part:
        part.write_bytes(b"%d " % n * 20_000)
    print(n, flush=True)
"""


def test_whoever_is_killed_while_writing_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    for turn in range(12):
        with subprocess.Popen([sys.executable, "-c", WRITES, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(turn * 0.003)
            writer.kill()
        content = path.read_bytes().split()
        assert len(content) == 20_000
        assert len(set(content)) == 1, "one content, whole"


HOLDS = """
import sys, time
from pathlib import Path
from firmware.state import locked
with locked(Path(sys.argv[1]), print):
    print("held", flush=True)
    time.sleep(0.3)
"""


def test_a_held_lock_is_told_and_waited_for(tmp_path: Path) -> None:
    told: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / "lock")], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with locked(tmp_path / "lock", lambda: told.append("busy")):
            assert holder.poll() is not None or holder.wait(5) == 0
    assert told == ["busy"]


def test_what_a_killed_process_left_goes_with_the_next_write_and_what_is_held_stays(tmp_path: Path) -> None:
    path, other = tmp_path / "settings", tmp_path / "else"
    with subprocess.Popen([sys.executable, "-c", WRITES, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.kill()
    left = tmp_path / ".settings.0123abcd.part"
    left.write_bytes(b"half")
    foreign = tmp_path / ".notes.part"
    foreign.write_bytes(b"somebody's")
    with written(other), written(path) as part:
        assert not left.exists()
        assert part.exists()
        left.write_bytes(b"half")
        assert tidy(tmp_path) == 1
        assert part.exists(), "it is held"
    assert sorted(one.name for one in tmp_path.iterdir()) == [".notes.part", "else", "settings"]


def test_writers_of_the_same_file_take_nothing_from_each_other(tmp_path: Path) -> None:
    """Each looks for what killed ones left, while another has made its file and does not hold it yet."""
    path = tmp_path / "a"

    def write(number: int) -> None:
        for _ in range(100):
            with written(path) as part:
                part.write_text(str(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert path.read_text() in set("0123")
    assert sorted(tmp_path.iterdir()) == [path]
