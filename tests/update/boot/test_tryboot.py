"""The Raspberry Pi's way: a flag for one start, and a file that says what a start takes without it."""

from pathlib import Path

import pytest

from firmware.errors import UpdateError
from firmware.update.boot.tryboot import OLDEST
from ota.errors import Code, UpdateRefused
from tests.ota.test_metadata import refused
from tests.update.boot.boards import Pi, put, start

WHOLE = "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n"


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    return Pi(tmp_path / "pi")


def armed(pi: Pi, text: str) -> str:
    release = put(pi.slots(), text, pi.files(text))
    pi.slots().arm(release)
    return release


def test_the_file_is_as_the_documentation_has_it_and_is_swapped_by_a_confirmation_alone(pi: Pi) -> None:
    assert pi.autoboot.read_text() == WHOLE
    release = armed(pi, "one")
    assert pi.autoboot.read_text() == WHOLE
    pi.slots().restart()
    assert (pi.folder / "asked").read_text() == "0 tryboot"
    pi.restart()
    pi.slots().boot()
    assert pi.autoboot.read_text() == WHOLE, "until it is confirmed any other start takes the old one"
    pi.slots().confirm(release)
    assert pi.autoboot.read_text() == WHOLE.replace("=2", "=x").replace("=3", "=2").replace("=x", "=3")
    assert len(pi.autoboot.read_bytes()) <= 512


def test_g07_a_flag_that_is_lost_is_a_failed_trial(pi: Pi) -> None:
    release = armed(pi, "one")
    pi.loses_the_flag = True
    assert start(pi) == "factory"
    assert pi.slots().failed() == release
    assert pi.slots().on_trial() is None
    pi.slots().noted()
    assert start(pi, asked=False) == "factory"
    assert pi.slots().failed() is None


def test_a_start_that_nobody_asked_a_trial_for_is_none(pi: Pi) -> None:
    release = armed(pi, "one")
    assert start(pi, asked=False) == "factory"
    assert pi.slots().failed() is None
    assert start(pi) == "one"
    assert pi.slots().on_trial() == release


def test_g03_a_camera_that_starts_again_in_the_same_trial_is_given_up(pi: Pi) -> None:
    release = armed(pi, "one")
    assert start(pi) == "one"
    for _ in range(2):
        with pytest.raises(UpdateError, match="restarts into the one before"):
            pi.slots().boot()
        assert (pi.folder / "asked").read_text() == "", "a restart with no flag"
    assert start(pi, asked=False) == "factory"
    assert pi.slots().failed() == release


def test_a_kernel_that_sets_no_flag_is_refused_before_anything_is_written(pi: Pi) -> None:
    pi.mailbox.unlink()
    with pytest.raises(UpdateRefused, match=r"no .*/vcio, as Raspberry Pi's own kernel") as told:
        pi.slots().require_able()
    assert told.value.code is Code.UNSUPPORTED


def test_g08_a_bootloader_that_is_too_old_is_refused(pi: Pi) -> None:
    pi.slots().require_able()
    pi.tell("build-timestamp", OLDEST - 1)
    with pytest.raises(UpdateRefused, match=r"2022-11-24.*rpi-eeprom-update"):
        pi.slots().require_able()
    (pi.tree / "build-timestamp").unlink()
    with pytest.raises(UpdateRefused, match=r"unknown.*rpi-eeprom-update"):
        pi.slots().require_able()


@pytest.mark.parametrize("number", [0, 1, 4])
def test_a_partition_that_is_no_slot_is_refused(pi: Pi, number: int) -> None:
    pi.tell("partition", number)
    refused(Code.UNSUPPORTED, pi.slots().require_able)
    pi.slots().boot()  # a camera that cannot be updated still hides people
    pi.tell("partition", 2)
    armed(pi, "one")
    pi.restart()
    pi.tell("partition", number)
    with pytest.raises(UpdateError, match=f"booted partition {number}"):
        pi.slots().boot()


def test_what_runs_has_to_be_the_default_before_the_other_slot_is_written(pi: Pi) -> None:
    pi.tell("partition", 3)
    with pytest.raises(UpdateRefused, match="restart the machine"):
        pi.slots().require_able()


def test_f15_a_file_that_is_torn_or_missing_is_written_anew(pi: Pi) -> None:
    for length in range(len(WHOLE)):
        pi.autoboot.write_text(WHOLE[:length])
        pi.slots().boot()
        assert pi.autoboot.read_text() == WHOLE
    for content in (b"\0" * 512, b"\xff" * 30):
        pi.autoboot.write_bytes(content)
        pi.slots().boot()
        assert pi.autoboot.read_text() == WHOLE
    pi.autoboot.unlink()
    pi.slots().boot()
    assert pi.autoboot.read_text() == WHOLE
    assert [path.name for path in pi.autoboot.parent.iterdir()] == ["autoboot.txt"]


def test_f15_in_a_trial_the_file_is_written_anew_for_the_old_slot(pi: Pi) -> None:
    armed(pi, "one")
    pi.slots().restart()
    pi.restart()
    pi.autoboot.write_text(WHOLE[:20])
    pi.slots().boot()
    assert pi.autoboot.read_text() == WHOLE


def test_a_restart_that_does_not_come_leaves_the_trial_to_be_asked_for_again(pi: Pi) -> None:
    armed(pi, "one")
    (pi.folder / "reboot").chmod(0o644)
    with pytest.raises(UpdateError, match="restart the machine by hand"):
        pi.slots().restart()
    (pi.folder / "reboot").chmod(0o755)
    assert start(pi, asked=False) == "factory"
    assert pi.slots().failed() is None
    assert start(pi) == "one"


def test_nothing_armed_is_nothing_to_restart_for(pi: Pi) -> None:
    with pytest.raises(UpdateError, match="install an update first"):
        pi.slots().restart()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"slots": 3}', '{"strange": 1}'])
def test_a_damaged_book_says_that_nothing_is_known(pi: Pi, content: str) -> None:
    release = armed(pi, "one")
    assert start(pi) == "one"
    (pi.folder / "slots" / "book.json").write_text(content)
    slots = pi.slots()
    assert (slots.running(), slots.confirmed(), slots.on_trial(), slots.has(release)) == (
        None,
        None,
        None,
        False,
    )
    assert start(pi, asked=False) == "factory"
