"""The Jetson's way: what its tool is asked, what its variables say, and what is refused."""

import os
import subprocess
from pathlib import Path

import pytest

from firmware.errors import UpdateError
from ota.errors import Code, UpdateRefused
from tests.ota.test_metadata import refused
from tests.update.boot.boards import Jetson, put, start


@pytest.fixture
def jetson(tmp_path: Path) -> Jetson:
    return Jetson(tmp_path / "jetson")


def armed(jetson: Jetson, text: str) -> str:
    release = put(jetson.slots(), text, jetson.files(text))
    jetson.slots().arm(release)
    return release


@pytest.mark.parametrize("gone", [False, True])
def test_g09_a_board_without_redundant_roots_is_refused(jetson: Jetson, gone: bool) -> None:
    jetson.slots().require_able()
    if gone:
        next(jetson.efivars.glob("RootfsRedundancyLevel-*")).unlink()
    else:
        jetson.set("RootfsRedundancyLevel", 0)
    with pytest.raises(UpdateRefused, match="ROOTFS_AB=1"):
        jetson.slots().require_able()


def test_a_switch_that_does_nothing_is_a_failed_trial(jetson: Jetson) -> None:
    release = put(jetson.slots(), "one", jetson.files("one"))
    jetson.set("RootfsRedundancyLevel", 0)
    jetson.slots().arm(release)
    assert start(jetson) == "factory"
    assert jetson.slots().failed() == release


def test_a_panic_falls_back_is_reported_and_leaves_a_mark(jetson: Jetson) -> None:
    release = armed(jetson, "one")
    jetson.panics = True
    assert start(jetson) == "factory"
    assert jetson.slots().failed() == release
    assert jetson.get("RootfsStatusSlotB") == 0xFF


def test_g10_the_mark_of_a_failed_trial_is_taken_away_by_the_next_verified_image(jetson: Jetson) -> None:
    test_a_panic_falls_back_is_reported_and_leaves_a_mark(jetson)
    jetson.slots().noted()
    jetson.panics = False
    state = jetson.state()
    release = put(jetson.slots(), "two", jetson.files("two"))
    assert jetson.get("RootfsStatusSlotB") == 0xFF, "not before it is armed"
    jetson.write({**state, "tries": [3, 3]})
    jetson.slots().arm(release)
    assert jetson.get("RootfsStatusSlotB") == 0
    assert start(jetson) == "two"
    jetson.slots().confirm(release)
    assert start(jetson) == "two"


def test_g10_a_mark_that_stays_is_told_with_what_to_do(
    jetson: Jetson, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = put(jetson.slots(), "one", jetson.files("one"))
    jetson.set("RootfsStatusSlotB", 0xFF)
    slots = jetson.slots()
    # A firmware that takes the write and keeps its mark.
    monkeypatch.setattr(os, "write", lambda handle, content: len(content))
    with pytest.raises(UpdateError, match="UEFI shell: setvar RootfsStatusSlotB"):
        slots.arm(release)


def test_g10_the_variable_is_protected_by_the_file_system(jetson: Jetson) -> None:
    path = next(jetson.efivars.glob("RootfsStatusSlotB-*"))
    jetson.set("RootfsStatusSlotB", 0xFF)
    if subprocess.run(["chattr", "+i", str(path)], check=False, capture_output=True).returncode:
        pytest.skip("files cannot be made immutable here")
    try:
        jetson.slots().arm(put(jetson.slots(), "one", jetson.files("one")))
        assert jetson.get("RootfsStatusSlotB") == 0
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)


def test_g11_kernel_and_root_of_different_slots_are_refused_and_fail_a_trial(jetson: Jetson) -> None:
    release = armed(jetson, "one")
    jetson.slots().restart()
    jetson.restart()
    jetson.write({**jetson.state(), "kernel": 0})
    with pytest.raises(UpdateError, match="restarts into the one before"):
        jetson.slots().boot()
    assert jetson.slots().failed() == release
    assert start(jetson, asked=False) == "factory"
    jetson.write({**jetson.state(), "kernel": 1})
    refused(Code.UNSUPPORTED, jetson.slots().require_able)


def test_what_is_confirmed_gets_its_tries_back_and_what_is_not_does_not(jetson: Jetson) -> None:
    release = armed(jetson, "one")
    assert start(jetson) == "one"
    assert "verify" not in jetson.calls()
    jetson.slots().confirm(release)
    assert jetson.calls()[-2:] == ["verify", "-t rootfs set-active-boot-slot 1"]


def test_a_tool_that_is_missing_or_odd_is_told(jetson: Jetson) -> None:
    tool = jetson.folder / "nvbootctrl"
    tool.write_text("#!/bin/sh\necho 2\n")
    with pytest.raises(UpdateError, match="says '2' and not 0 or 1"):
        jetson.slots().running()
    tool.write_text("#!/bin/sh\necho no rights >&2; exit 1\n")
    with pytest.raises(UpdateError, match="no rights"):
        jetson.slots().running()
    tool.unlink()
    with pytest.raises(UpdateError, match="nvidia-l4t-tools"):
        jetson.slots().running()
