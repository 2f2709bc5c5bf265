"""The state folder has one owner and is readable by nobody else."""

import os
import stat
from pathlib import Path

import pytest

from firmware.errors import OutputError
from firmware.state import own


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
