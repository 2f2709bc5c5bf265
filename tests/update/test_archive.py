"""Section E of the update cases: what is unpacked stays where it is put."""

import contextlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware.update.archive import MOST_ENTRIES, compare, unpack_tar
from firmware.update.boot.directory import DirectorySlots
from ota.author import pack
from ota.errors import Code, UpdateRefused
from tests.ota.test_metadata import refused
from tests.update.boot.boards import put


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b"x") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    made.size = len(content) if kind == tarfile.REGTYPE else 0
    return made


def archive(folder: Path, *entries: tarfile.TarInfo) -> Path:
    path = folder / "archive.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for one in entries:
            tar.addfile(one, io.BytesIO(b"x" * one.size))
    return path


BAD = {
    "E01 above": [entry("../evil")],
    "E01 above, later": [entry("a", tarfile.DIRTYPE), entry("a/../../evil")],
    "E02 absolute": [entry("/evil")],
    "E03 through a link": [entry("a", tarfile.SYMTYPE, "b"), entry("b", tarfile.DIRTYPE), entry("a/evil")],
    "E03 a link outside": [entry("a", tarfile.SYMTYPE, "../../evil")],
    "E03 an absolute link": [entry("a", tarfile.SYMTYPE, "/etc")],
    "E04 a hard link": [entry("a"), entry("b", tarfile.LNKTYPE, "a")],
    "E05 a device": [entry("a", tarfile.CHRTYPE)],
    "E05 a disk": [entry("a", tarfile.BLKTYPE)],
    "E06 a pipe": [entry("a", tarfile.FIFOTYPE)],
    "E08 twice": [entry("a"), entry("a")],
    "E09 twice, but for case": [entry("a"), entry("A")],
    "E09 twice, but for how it is written": [entry("\u00e9"), entry("e\u0301")],
    "E10 a line's end": [entry("a\nb")],
    "E10 too long": [entry("a" * 300)],
    "E10 too deep": [entry("/".join("a" * 600))],
    "E10 another system's": [entry("a\\b")],
    "a file in no folder": [entry("bin/run")],
    "a file in a file": [entry("bin"), entry("bin/run")],
    "E13 larger than signed": [entry("a", content=b"x" * 2000)],
}


@pytest.mark.parametrize("case", BAD)
def test_what_could_do_harm_is_refused(case: str, tmp_path: Path) -> None:
    path, target = archive(tmp_path, *BAD[case]), tmp_path / "target"
    target.mkdir()
    with pytest.raises((UpdateRefused, FileExistsError)) as caught:
        unpack_tar(path, target, 1000)
    if isinstance(caught.value, UpdateRefused):
        assert caught.value.code is Code.MALFORMED
    assert not (tmp_path / "evil").exists()
    assert {one.name for one in tmp_path.iterdir()} == {"archive.tar", "target"}


def test_e07_nothing_runs_as_somebody_else(tmp_path: Path) -> None:
    one = entry("a")
    one.mode = 0o6777
    one.uid = one.gid = 12345
    target = tmp_path / "target"
    target.mkdir()
    unpack_tar(archive(tmp_path, one), target, 1000)
    told = (target / "a").stat()
    assert (told.st_mode & 0o7777, told.st_uid) == (0o755, os.getuid())


def test_what_was_packed_is_there_and_a_change_is_seen(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "bin").mkdir(parents=True)
    (source / "bin" / "run").write_bytes(b"run" * 1000)
    (source / "link").symlink_to("bin/run")
    target.mkdir()
    path = tmp_path / "archive.tar"
    with path.open("wb") as out:
        pack(source, out)
    assert unpack_tar(path, target, 10_000) == 3
    compare(path, target)
    changes: list[Callable[[], object]] = [
        lambda: (target / "bin" / "run").write_bytes(b"ran" * 1000),
        lambda: (target / "link").unlink() or (target / "link").symlink_to("bin"),
    ]
    for change in changes:
        change()
        with pytest.raises(UpdateRefused, match="was not written as it was read"):
            compare(path, target)
        (target / "bin" / "run").write_bytes(b"run" * 1000)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rubbish=st.binary(max_size=2000))
def test_rubbish_is_refused_and_writes_nothing(rubbish: bytes, tmp_path: Path) -> None:
    path, target = tmp_path / "archive.tar", tmp_path / "target"
    path.write_bytes(rubbish)
    target.mkdir(exist_ok=True)
    with contextlib.suppress(UpdateRefused):
        unpack_tar(path, target, 1000)
    assert list(target.iterdir()) == []


def test_e19_what_runs_is_never_removed(tmp_path: Path) -> None:
    slots = DirectorySlots(tmp_path)
    one, two, three = (put(slots, text, {}) for text in ("one", "two", "three"))
    slots.arm(one)
    slots.boot()
    slots.confirm(one)
    slots.arm(two)
    slots.boot()
    assert slots.keep({three}) == []
    assert slots.keep(set()) == [three]
    assert (slots.confirmed(), slots.on_trial()) == (one, two)


def test_more_entries_than_an_update_has_are_refused(tmp_path: Path) -> None:
    """E11."""
    path = tmp_path / "many.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(MOST_ENTRIES + 1):
            tar.addfile(tarfile.TarInfo(f"{number:06d}"))
    (tmp_path / "target").mkdir()
    refused(Code.MALFORMED, lambda: unpack_tar(path, tmp_path / "target", 1 << 20))


@pytest.mark.parametrize(
    "headers", [{"path": "../outside"}, {"path": "/outside"}, {"size": str(1 << 40)}, {"size": "-1"}]
)
def test_a_header_that_overrides_another_is_held_to_the_same(tmp_path: Path, headers: dict[str, str]) -> None:
    """E14."""
    path, target = tmp_path / "pax.tar", tmp_path / "target"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("plain")
        info.size, info.pax_headers = 4, headers
        tar.addfile(info, io.BytesIO(b"abcd"))
    target.mkdir()
    refused(Code.MALFORMED, lambda: unpack_tar(path, target, 1 << 20))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["pax.tar", "target"]
