"""What the agent may rely on, whichever way a board boots."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.update.boot.boards import Emulated, Jetson, Laptop, Machine, Pi, packed, put, release_of, start
from tests.update.boot.raucd import RaucBoard

BOARDS: dict[str, Callable[[Path], Machine]] = {
    "directory": Laptop,
    "tryboot": Pi,
    "uboot": Emulated,
    "nvbootctrl": Jetson,
    "rauc": RaucBoard,
}


@pytest.fixture(params=BOARDS)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    made = BOARDS[request.param](tmp_path / "machine")
    with made if isinstance(made, RaucBoard) else contextlib.nullcontext():
        yield made


def update(machine: Machine, text: str) -> str:
    """Install, try and confirm a version; returns the release."""
    release = put(machine.slots(), text, machine.files(text))
    machine.slots().arm(release)
    assert start(machine) == text
    machine.slots().confirm(release)
    machine.slots().keep({release})
    return release


def test_a_release_is_written_armed_tried_and_kept(machine: Machine) -> None:
    slots = machine.slots()
    slots.require_able()
    assert (slots.running(), slots.confirmed(), slots.on_trial(), slots.failed()) == (None, None, None, None)
    release = put(slots, "one", machine.files("one"))
    assert machine.slots().has(release)
    assert not machine.slots().has("0" * 32)
    assert machine.slots().on_trial() is None
    machine.slots().arm(release)
    assert machine.slots().running() is None, "nothing runs it yet"
    assert start(machine) == "one"
    assert (machine.slots().running(), machine.slots().on_trial()) == (release, release)
    assert machine.slots().confirmed() is None
    machine.slots().confirm(release)
    assert (machine.slots().confirmed(), machine.slots().on_trial()) == (release, None)
    for _ in range(5):
        assert start(machine) == "one"
    assert machine.slots().failed() is None


def test_each_update_takes_the_place_of_the_one_before_the_last(machine: Machine) -> None:
    for text in ("one", "two", "three", "one", "two"):
        release = update(machine, text)
        assert start(machine, asked=False) == text
        assert (machine.slots().running(), machine.slots().confirmed()) == (release, release)


def test_what_does_not_confirm_itself_is_given_up_once(machine: Machine) -> None:
    old = update(machine, "one")
    release = put(machine.slots(), "two", machine.files("two"))
    machine.slots().arm(release)
    assert start(machine) == "two"
    assert start(machine, asked=False) == "one"
    assert machine.slots().failed() == release
    assert (machine.slots().on_trial(), machine.slots().confirmed(), machine.slots().running()) == (
        None,
        old,
        old,
    )
    machine.slots().noted()
    assert machine.slots().failed() is None
    assert [start(machine) for _ in range(3)] == ["one"] * 3
    assert machine.slots().failed() is None


def test_what_is_disarmed_is_not_tried(machine: Machine) -> None:
    update(machine, "one")
    release = put(machine.slots(), "two", machine.files("two"))
    machine.slots().arm(release)
    machine.slots().disarm()
    machine.slots().disarm()
    assert [start(machine) for _ in range(2)] == ["one"] * 2
    assert machine.slots().failed() is None
    machine.slots().arm(release)
    assert start(machine) == "two", "it lies there still"


def test_one_that_is_armed_gives_way_to_a_later_one(machine: Machine) -> None:
    update(machine, "one")
    machine.slots().arm(put(machine.slots(), "two", machine.files("two")))
    later = put(machine.slots(), "three", machine.files("three"))
    machine.slots().arm(later)
    assert start(machine) == "three"
    assert machine.slots().on_trial() == later


def test_what_breaks_off_is_not_there(machine: Machine) -> None:
    update(machine, "one")

    class Broken(Exception):
        pass

    def broken() -> None:
        with machine.slots().writing(release_of("two", packed(machine.files("two")))):
            raise Broken

    before = sorted(machine.slots().folder.rglob("*"))
    with pytest.raises(Broken):
        broken()
    assert sorted(machine.slots().folder.rglob("*")) == before, "I3, I5"
    assert start(machine) == "one"


def test_a_confirmation_is_for_what_is_on_trial(machine: Machine) -> None:
    release = update(machine, "one")
    machine.slots().confirm(release)
    assert start(machine) == "one"
    assert machine.slots().confirmed() == release


def test_what_runs_and_what_is_confirmed_is_kept(machine: Machine) -> None:
    old = update(machine, "one")
    release = put(machine.slots(), "two", machine.files("two"))
    machine.slots().arm(release)
    start(machine)
    assert machine.slots().keep(set()) == []
    assert (machine.slots().has(old), machine.slots().has(release)) == (True, True)
    machine.slots().confirm(release)
    assert machine.slots().keep({release}) == [old]
    assert (machine.slots().has(old), machine.slots().has(release)) == (False, True)
