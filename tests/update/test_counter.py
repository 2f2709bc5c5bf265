"""Records of updates that a TPM (swtpm) counts: an older copy of the card is refused, a power cut is not."""

import io
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from firmware.access.identity import Identity, open_identity
from firmware.access.sealing import TPM
from firmware.access.tpm import TpmCounter
from firmware.errors import IdentityDamaged, KeyUnavailable
from firmware.ports import SystemClock
from firmware.update.agent import Agent, Device
from firmware.update.record import FOLDER, NAMES, Phase, Records, read_record
from ota.stanza import KeyInMemory
from tests.ota.workshop import BOARD, PRIVACY, Workshop
from tests.soft_tpm import SoftTpm
from tests.update.test_agent import Board


@dataclass
class Counted(Board):
    """A device whose records its TPM counts."""

    def identity(self) -> Identity:
        """The identity as a fresh process has it."""
        return open_identity(self.state, kind=TPM)

    def records(self) -> Records:
        identity = self.identity()
        return Records(self.state, identity.keys, identity.counter)

    def agent(self) -> Agent:
        device = Device(self.shop.anchor, (BOARD,), KeyInMemory(self.shop.key), self.privacy)
        return Agent(device, self.records(), self.slots, SystemClock())

    def copy(self) -> dict[str, bytes]:
        """What somebody who copies the card has of the records."""
        return {name: (self.state / FOLDER / name).read_bytes() for name in NAMES}

    def put_back(self, copied: dict[str, bytes]) -> None:
        for name, content in copied.items():
            (self.state / FOLDER / name).write_bytes(content)


@pytest.fixture
def board(tpm: SoftTpm, tmp_path: Path) -> Counted:
    shop = Workshop(tmp_path / "authors")
    shop.clock.now = shop.clock.now.now(shop.clock.now.tzinfo)
    return Counted(shop, tmp_path / "state", open_identity(tmp_path / "state", kind=TPM).keys, PRIVACY)


def test_updates_go_on_over_power_cuts_of_the_tpm(board: Counted, tpm: SoftTpm) -> None:
    board.update(1)
    tpm.stop()
    tpm.start()
    board.update(2)
    assert board.agent().now.floor.counter == 2


def test_records_from_an_older_copy_of_the_card_are_refused(board: Counted) -> None:
    board.update(1)
    old = board.copy()
    board.update(2)
    new = board.copy()
    board.put_back(old)
    with pytest.raises(IdentityDamaged, match="this device has gone beyond"):
        board.agent()
    board.put_back(new)
    assert board.agent().now.floor.counter == 2


def test_the_copy_of_one_record_and_of_one_step_before_is_refused(board: Counted) -> None:
    records = board.records()
    for n in range(4):
        kept = {} if n < 2 else board.copy()
        records.write(last=str(n))
    board.put_back(kept)
    with pytest.raises(IdentityDamaged):
        board.records()


def test_records_that_were_taken_away_are_no_fresh_start(board: Counted) -> None:
    board.update(1)
    for name in NAMES:
        (board.state / FOLDER / name).unlink()
    with pytest.raises(IdentityDamaged, match="or none where it had some"):
        board.agent()


def test_h03_a_counter_that_does_not_go_up_stops_an_install_before_the_flip(
    board: Counted, tpm: SoftTpm
) -> None:
    board.update(1)
    bundle = board.bundle(2)
    agent = board.agent()

    class Cut(io.BytesIO):
        """A bundle with whose payload the TPM goes."""

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            tpm.stop()
            return super().readinto(buffer)

    # It is verified by then, and what is left is to write it, to record it and to arm it.
    with pytest.raises(KeyUnavailable, match="no TPM at"):
        agent.install(Cut(bundle))
    assert board.slots.boot() == (board.slots.folder / "current").resolve()
    assert (board.slots.folder / "current" / "version").read_text() == "version 1"
    with pytest.raises(KeyUnavailable):
        board.agent()
    tpm.start()
    assert board.agent().now.phase is not Phase.ARMED
    assert board.start() == "version 1"
    board.agent().install(io.BytesIO(bundle))
    assert board.start() == "version 2"
    board.confirm()
    assert board.agent().now.floor.counter == 2


def test_h03_a_counter_that_is_gone_for_good_arms_nothing(board: Counted, tpm: SoftTpm) -> None:
    board.update(1)
    agent, counter = board.agent(), board.identity().counter
    assert isinstance(counter, TpmCounter)
    tpm.tool("nvundefine", "-C", "o", hex(counter.index))
    for _ in range(2):
        with pytest.raises(KeyUnavailable, match="counter of updates"):
            agent.install(io.BytesIO(board.bundle(2)))
    with pytest.raises(KeyUnavailable, match="counter of updates"):
        board.agent()
    assert board.slots.boot() == (board.slots.folder / "current").resolve()
    assert (board.slots.folder / "current" / "version").read_text() == "version 1"


def test_records_that_ran_ahead_of_a_counter_that_failed_are_made_up_for(
    board: Counted, tpm: SoftTpm
) -> None:
    records = board.records()
    records.write(last="0")
    tpm.stop()
    for n in range(1, 4):
        with pytest.raises(KeyUnavailable):
            records.write(last=str(n))
        assert records.now.last == "0", "nobody may act on it"
    old = board.copy()
    tpm.start()
    records.write(last="4")
    assert board.records().now.last == "4"
    board.put_back(old)
    with pytest.raises(IdentityDamaged):
        board.records()


def test_the_interface_tells_a_counter_that_does_not_answer(board: Counted, tpm: SoftTpm) -> None:
    board.update(1)
    identity = board.identity()
    tpm.stop()
    with pytest.raises(KeyUnavailable, match="fit it, or name another"):
        Records(board.state, identity.keys, identity.counter)


CHILD = """
import sys
from pathlib import Path
from firmware.access.identity import open_identity
from firmware.update.record import Records
state = Path(sys.argv[1])
identity = open_identity(state, kind="tpm")
records = Records(state, identity.keys, identity.counter)
for n in range(3):
    records.write(last=str(int(records.now.last or 0) + 1))
    print(records.now.last, flush=True)
"""
CALLS = (
    "write",
    "rename",
    "fsync",
    "vfork",
    "clone",
    "clone3",
    "wait4",
    "mkdir",
    "unlink",
    "unlinkat",
    "rmdir",
)


def cut_off(state: Path, call: str, at: int) -> tuple[bool, int]:
    """Make an identity and write records, killed at one call; returns whether, and the last that was told."""
    trace = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    inject = ["-e", f"inject={call}:signal=KILL:when={at}"]
    done = subprocess.run(
        [*trace, *inject, sys.executable, "-c", CHILD, str(state)],
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), done.stderr[-2000:]
    return done.returncode != 0, int((done.stdout.split() or [b"0"])[-1])


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("begun", [False, True], ids=["first start", "later start"])
def test_wherever_it_is_killed_the_device_opens_and_no_record_that_was_told_is_lost(
    tpm: SoftTpm, tmp_path: Path, *, begun: bool
) -> None:
    state, kept = tmp_path / "state", tmp_path / "kept"
    points: Counter[str] = Counter()
    step = int(os.environ.get("VEILCAM_CUT_STEP", "5"))
    if begun:
        identity = open_identity(kept, kind=TPM)
        Records(kept, identity.keys, identity.counter)
    told_before = 0
    for call in CALLS:
        for at in range(1, 2000, step):
            shutil.rmtree(state, ignore_errors=True)
            if begun:
                shutil.copytree(kept, state)
            was_cut, told = cut_off(state, call, at)
            # What takes the camera's power takes the TPM's, and ends a tool that still runs.
            tpm.stop()
            tpm.start()
            identity = open_identity(state, kind=TPM)
            records = Records(state, identity.keys, identity.counter)
            assert int(records.now.last or 0) >= (told or told_before)
            records.write(last=str(int(records.now.last or 0) + 1))
            if begun:
                told_before = int(records.now.last)
                shutil.rmtree(kept)
                shutil.copytree(state, kept)
            if not was_cut:
                break
            points[call] += 1
    # How many calls there are, and so how many fall on a step, differs a little from start to start.
    assert {"write", "rename", "fsync", "wait4"} <= set(points), points
    assert points.total() > 15, points


def test_who_only_looks_raises_no_counter(board: Counted, tpm: SoftTpm) -> None:
    """Beside an install, between its record and the counter: raised twice, no record would fit any more."""
    board.update(1)
    identity = board.identity()
    assert identity.counter is not None
    before = identity.counter.value()
    Records(board.state, identity.keys).write(last="the counter is not up yet")
    assert read_record(board.state, identity.keys, identity.counter).last == "the counter is not up yet"
    assert identity.counter.value() == before
    board.agent()
    assert identity.counter.value() == before + 1
    for name in NAMES:
        (board.state / FOLDER / name).unlink()
    with pytest.raises(IdentityDamaged, match="gone beyond"):
        read_record(board.state, identity.keys, identity.counter)
