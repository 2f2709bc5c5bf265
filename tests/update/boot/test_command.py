"""A restart of the machine: by its own command, or asked for by a camera that has no right to it."""

from pathlib import Path

import pytest

from firmware.errors import OutputError, UpdateError
from firmware.update.boot.command import restart_machine


@pytest.mark.parametrize("argument", ["", "0 tryboot"])
def test_a_service_asks_in_its_own_folder(
    argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    restart_machine(argument)
    assert [path.name for path in tmp_path.iterdir()] == ["restart"]
    assert (tmp_path / "restart").read_text() == argument


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="cannot be written"):
        restart_machine("")


def test_by_hand_it_is_the_machines_own_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UpdateError, match="restart the machine by hand"):
        restart_machine("")
    program = tmp_path / "reboot"
    program.write_text(f'#!/bin/sh\nprintf "%s" "$1" >{tmp_path}/asked\n', encoding="ascii")
    program.chmod(0o755)
    restart_machine("0 tryboot")
    assert (tmp_path / "asked").read_text() == "0 tryboot"
