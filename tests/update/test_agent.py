"""From a bundle to a version that runs, and back: old or new runs, and the floor never sinks."""

import io
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from firmware.access.identity import open_identity
from firmware.errors import IdentityDamaged
from firmware.ports import KeyStore, SystemClock
from firmware.update.agent import Agent, Device
from firmware.update.boot.directory import DirectorySlots
from firmware.update.record import FOLDER, NAMES, Outcome, Phase, Records
from ota.author import pack
from ota.errors import Code, UpdateRefused
from ota.release import Privacy
from ota.stanza import KeyInMemory
from tests.ota.test_metadata import refused
from tests.ota.workshop import BOARD, PRIVACY, Workshop
from tests.update.crash import MODELS, cuts, traced


def packed(folder: Path, text: str) -> bytes:
    """A version as a tar: a file that says which it is, another below, and a link."""
    (folder / "lib").mkdir(parents=True, exist_ok=True)
    (folder / "version").write_text(text)
    for n in range(int(os.environ.get("VEILCAM_CUT_FILES", "0"))):
        (folder / "lib" / f"module{n}").mkdir(exist_ok=True)
        (folder / "lib" / f"module{n}" / "code").write_text(text * n)
    (folder / "lib" / "large").write_bytes(text.encode() * 40_000)
    if not (folder / "run").is_symlink():
        (folder / "run").symlink_to("version")
    out = io.BytesIO()
    pack(folder, out)
    return out.getvalue()


@dataclass
class Board:
    """A device with its state folder, and authors for it."""

    shop: Workshop
    state: Path
    keys: KeyStore
    privacy: Privacy = PRIVACY
    old: str = ""
    """What runs where no update was taken."""

    @property
    def slots(self) -> DirectorySlots:
        return DirectorySlots(self.state / "slots")

    def agent(self) -> Agent:
        """An agent as a fresh process has it."""
        device = Device(self.shop.anchor, (BOARD,), KeyInMemory(self.shop.key), self.privacy)
        return Agent(device, Records(self.state, self.keys), self.slots, SystemClock())

    def bundle(self, counter: int, **more: object) -> bytes:
        folder = self.shop.folder / f"v{counter}"
        _, bundle = self.shop.build(packed(folder, f"version {counter}"), counter, **more)
        return bundle

    def start(self) -> str:
        """Start as a launcher does; returns what runs."""
        path = self.slots.boot()
        self.agent().begun()
        return "" if path is None else (path / "version").read_text()

    def update(self, counter: int) -> None:
        """Install, try and confirm a version."""
        self.agent().install(io.BytesIO(self.bundle(counter)))
        assert self.start() == f"version {counter}"
        self.confirm()
        self.old = f"version {counter}"

    def confirm(self) -> Agent:
        """Confirm what is on trial as a camera does: once it has shown what it hides."""
        agent = self.agent()
        agent.show(self.privacy)
        agent.confirm()
        return agent


@pytest.fixture
def board(tmp_path: Path) -> Board:
    shop = Workshop(tmp_path / "authors")
    shop.clock.now = shop.clock.now.now(shop.clock.now.tzinfo)
    keys = open_identity(tmp_path / "state").keys
    return Board(shop, tmp_path / "state", keys)


def test_an_update_is_tried_confirmed_and_stays(board: Board) -> None:
    board.update(1)
    assert board.agent().now.floor.counter == 1
    bundle = board.bundle(2)
    board.agent().install(io.BytesIO(bundle))
    assert board.agent().now.phase is Phase.ARMED
    assert (board.slots.folder / "current").resolve().joinpath("version").read_text() == "version 1"
    assert board.start() == "version 2"
    agent = board.agent()
    assert agent.now.phase is Phase.TRIAL
    assert agent.now.floor.counter == 1, "C07: not raised before it is confirmed"
    refused(Code.BUSY, agent.confirm)
    agent.show(board.privacy)
    agent.confirm()
    agent.confirm()
    assert (agent.now.phase, agent.now.floor.counter, agent.now.outcome) == (Phase.IDLE, 2, Outcome.CONFIRMED)
    assert board.start() == "version 2"
    assert len(list((board.slots.folder / "versions").iterdir())) == 1
    assert not list(board.state.rglob("*.tar")), "I3"


def test_what_does_not_confirm_itself_is_given_up_and_not_tried_again(board: Board) -> None:
    board.update(1)
    bundle = board.bundle(2)
    board.agent().install(io.BytesIO(bundle))
    assert [board.start(), board.start(), board.start()] == ["version 2", "version 1", "version 1"]
    now = board.agent().now
    assert (now.phase, now.floor.counter, now.outcome) == (Phase.IDLE, 1, Outcome.ROLLED_BACK)
    assert "did not confirm itself" in now.last
    refused(Code.QUARANTINED, lambda: board.agent().install(io.BytesIO(bundle)))


def test_what_says_itself_that_it_does_not_work_is_given_up(board: Board) -> None:
    board.update(1)
    board.agent().install(io.BytesIO(board.bundle(2)))
    board.start()
    assert "no frames" in board.agent().rollback("no frames").last
    assert board.start() == "version 1"


def test_one_on_trial_keeps_others_away_and_the_confirmed_one_is_no_update(board: Board) -> None:
    board.update(1)
    second = board.bundle(2)
    board.agent().install(io.BytesIO(second))
    board.start()
    refused(Code.BUSY, lambda: board.agent().install(io.BytesIO(board.bundle(3))))
    board.confirm()
    old = board.bundle(4)
    board.agent().install(io.BytesIO(old))
    board.start()
    board.confirm()
    refused(Code.BUSY, lambda: board.agent().install(io.BytesIO(old)))
    refused(Code.ROLLBACK, lambda: board.agent().install(io.BytesIO(second)))


def test_a_stepping_stone_that_is_missing(board: Board) -> None:
    board.update(1)
    refused(Code.DEPENDS, lambda: board.agent().install(io.BytesIO(board.bundle(5, needs_counter=4))))


@pytest.mark.parametrize("weaker", [Privacy("b" * 64, 9_900), Privacy("a" * 64, 9_899)])
def test_what_weakens_privacy_needs_the_owner(board: Board, weaker: Privacy) -> None:
    board.update(1)
    bundle = board.bundle(2, privacy=weaker)
    refused(Code.WEAKENS_PRIVACY, lambda: board.agent().install(io.BytesIO(bundle)))
    board.agent().install(io.BytesIO(bundle), accepts=lambda release: True)
    assert board.start() == "version 2"


def test_what_hides_less_on_trial_than_it_was_said_to_is_given_up(board: Board) -> None:
    board.update(1)
    board.agent().install(io.BytesIO(board.bundle(2)))
    assert board.start() == "version 2"
    told = board.agent().show(Privacy(PRIVACY.policy, 9_899))
    assert (told.phase, told.floor.counter) == (Phase.IDLE, 1)
    assert "finds fewer people (99.0 %, now 99.0 %" in told.last
    assert board.start() == "version 1"


def test_what_its_owner_has_signed_for_may_hide_less(board: Board) -> None:
    board.update(1)
    weaker = Privacy(PRIVACY.policy, 9_000)
    board.agent().install(io.BytesIO(board.bundle(2, privacy=weaker)), accepts=lambda release: True)
    assert board.start() == "version 2"
    agent = board.agent()
    agent.show(weaker)
    agent.confirm()
    assert agent.now.privacy == weaker
    stronger = board.bundle(3, privacy=Privacy(PRIVACY.policy, 9_001))
    board.agent().install(io.BytesIO(stronger))


def test_the_first_update_is_held_against_what_the_camera_came_with(board: Board) -> None:
    board.agent().show(Privacy(PRIVACY.policy, 9_950))
    assert board.agent().show(Privacy(PRIVACY.policy, 9_000)).privacy == Privacy(PRIVACY.policy, 9_950)
    refused(Code.WEAKENS_PRIVACY, lambda: board.agent().install(io.BytesIO(board.bundle(1))))


@pytest.mark.parametrize("at", [30, 2_000, -1, -200_000])
def test_a_bundle_that_was_touched_changes_nothing(board: Board, at: int) -> None:
    board.update(1)
    changed = bytearray(board.bundle(2))
    changed[at] ^= 1
    before = sorted(str(path) for path in board.slots.folder.rglob("*"))
    with pytest.raises(UpdateRefused):
        board.agent().install(io.BytesIO(bytes(changed)))
    assert sorted(str(path) for path in board.slots.folder.rglob("*")) == before
    assert board.start() == "version 1"


def test_a_disk_that_is_too_full_is_told_before_anything_is_written(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.update(1)
    bundle = board.bundle(2)
    real = os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda path: _few(real(path)))
    refused(Code.NO_SPACE, lambda: board.agent().install(io.BytesIO(bundle)))
    monkeypatch.undo()
    assert board.start() == "version 1"


def _few(told: os.statvfs_result) -> os.statvfs_result:
    fields = list(told)
    fields[4] = 10
    return os.statvfs_result(fields)


def test_one_damaged_record_is_none_and_two_are_an_error(board: Board) -> None:
    board.update(1)
    records = [board.state / FOLDER / name for name in NAMES]
    whole = [path.read_bytes() for path in records]
    for path, content in zip(records, whole, strict=True):
        for change in (b"", content[:20], content.replace(b'"floor_counter": 1', b'"floor_counter": 0')):
            path.write_bytes(change)
            assert board.agent().now.floor.root
            path.write_bytes(content)
    for path in records:
        path.write_bytes(b"torn")
    with pytest.raises(IdentityDamaged, match="both records"):
        board.agent()


def test_a_record_of_another_device_is_none(board: Board, tmp_path: Path) -> None:
    board.update(1)
    other = replace(board, keys=open_identity(tmp_path / "other").keys)
    with pytest.raises(IdentityDamaged):
        other.agent()


CALLS = ["write", "rename", "fsync", "symlink", "mkdir", "unlink", "unlinkat", "rmdir", "chmod"]
CHILD = """
import sys
from pathlib import Path
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from firmware.access.identity import open_identity
from firmware.ports import SystemClock
from firmware.update.agent import Agent, Device
from firmware.update.boot.directory import DirectorySlots
from firmware.update.record import Records
from ota.release import Privacy
from ota.stanza import KeyInMemory
state, folder = Path(sys.argv[1]), Path(sys.argv[2])
key = KeyInMemory(load_pem_private_key((folder / "key").read_bytes(), None))
device = Device((folder / "anchor").read_bytes(), ("laptop",), key, Privacy("a" * 64, 9_900))
slots = DirectorySlots(state / "slots")
agent = Agent(device, Records(state, open_identity(state).keys), slots, SystemClock())
if sys.argv[3] == "install":
    with (folder / "bundle").open("rb") as file:
        agent.install(file)
else:
    slots.boot()
    agent.begun()
    if sys.argv[3] == "confirm":
        agent.show(Privacy("a" * 64, 9_900))
        agent.confirm()
    else:
        agent.rollback("it does not work")
"""


def cut_off(board: Board, what: str, folder: Path, call: str, at: int) -> bool:
    """Run a step and kill it at one of its calls to the kernel; False once it gets to its end."""
    command = [sys.executable, "-c", CHILD, str(board.state), str(folder), what]
    # A call is counted by its name.
    trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    inject = ["-e", f"inject={call}:signal=KILL:when={at}"]
    done = subprocess.run([*trace, *inject, *command], check=False, capture_output=True, timeout=60)
    assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), done.stderr[-2000:]
    return done.returncode != 0


def told_of(board: Board, bundle: bytes, folder: Path) -> None:
    """Write what the child needs into a folder."""
    folder.mkdir()
    key = board.shop.key
    assert isinstance(key, X25519PrivateKey)
    (folder / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "anchor").write_bytes(board.shop.anchor)
    (folder / "bundle").write_bytes(bundle)


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("what", ["install", "confirm", "rollback"])
@pytest.mark.parametrize("how", ["first", "later"])
def test_whatever_a_power_cut_leaves_on_the_disk_old_or_new_runs(
    board: Board, what: str, how: str, tmp_path: Path
) -> None:
    """F06, F10, F12, F14, F16: what was not synced is gone, empty, or half there."""
    if how == "later":
        board.update(1)
    bundle, folder = board.bundle(2), tmp_path / "told"
    told_of(board, bundle, folder)
    if what != "install":
        board.agent().install(io.BytesIO(bundle))
    before, disk = tmp_path / "before", board.state
    subprocess.run(["cp", "-a", str(disk), str(before)], check=True)
    events = traced([sys.executable, "-c", CHILD, str(disk), str(folder), what], disk, tmp_path / "log")
    points = 0
    for model, number in cuts(before, events, disk):
        try:
            check_after_cut(board, bundle)
        except Exception as exc:
            call, words = events[number]
            exc.add_note(f"{model}, after call {number} of {len(events)}: {call} {words[0]}")
            raise
        points += 1
    assert points == len(events) * len(MODELS)
    sys.stdout.write(f"{how} {what}: {len(events)} calls, {points} disks, old or new each time\n")


def test_what_is_never_synced_would_be_seen(board: Board, tmp_path: Path) -> None:
    """The control of the test above: without its syncs an install does leave a disk that is neither."""
    board.update(1)
    bundle, folder = board.bundle(2), tmp_path / "told"
    told_of(board, bundle, folder)
    before, disk = tmp_path / "before", board.state
    subprocess.run(["cp", "-a", str(disk), str(before)], check=True)
    events = traced([sys.executable, "-c", CHILD, str(disk), str(folder), "install"], disk, tmp_path / "log")
    careless = [event for event in events if event[0] != "fsync"]
    found = set()
    for model, _ in cuts(before, careless, disk):
        try:
            check_after_cut(board, bundle)
        except (AssertionError, OSError, IdentityDamaged):
            found.add(model)
    assert {"empty", "torn"} <= found


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("what", ["install", "confirm"])
def test_wherever_it_is_killed_old_or_new_runs_and_the_floor_does_not_sink(
    board: Board, what: str, tmp_path: Path
) -> None:
    board.update(1)
    bundle, folder = board.bundle(2), tmp_path / "told"
    told_of(board, bundle, folder)
    if what == "confirm":
        board.agent().install(io.BytesIO(bundle))
    kept = tmp_path / "kept"
    subprocess.run(["cp", "-a", str(board.state), str(kept)], check=True)
    points, step = 0, int(os.environ.get("VEILCAM_CUT_STEP", "5"))
    for call in CALLS:
        for at in range(1, 2000, step):
            subprocess.run(["rm", "-rf", str(board.state)], check=True)
            subprocess.run(["cp", "-a", str(kept), str(board.state)], check=True)
            if not cut_off(board, what, folder, call, at):
                break
            points += 1
            check_after_cut(board, bundle)
    assert points >= 30 / step
    sys.stdout.write(f"{what}: killed at {points} points, old or new each time\n")


def check_after_cut(board: Board, bundle: bytes) -> None:
    """Old or new runs, whole; the floor is no lower; and the update can be taken to its end."""
    before, old = board.agent().now, board.old
    assert before.floor.counter >= (1 if old else 0)
    floor = before.floor.counter
    runs = board.start()
    assert runs in (old, "version 2")
    agent = board.agent()
    if agent.now.phase is Phase.TRIAL:
        agent = board.confirm()
    elif agent.now.release not in agent.now.quarantined and agent.now.floor.counter < 2:
        agent.install(io.BytesIO(bundle))
        assert board.start() == "version 2"
        board.confirm()
    again = board.agent()
    assert again.now.phase is Phase.IDLE
    assert board.start() in (old, "version 2")
    assert again.now.floor.counter >= floor
    assert not list(board.state.rglob(".part-*"))


def test_the_counter_counts_whatever_a_version_is_called(board: Board) -> None:
    """C05."""
    board.update(2)
    board.agent().install(io.BytesIO(board.bundle(3, version="0.9")))
    assert board.start() == "version 3"
    board.confirm()
    assert board.agent().now.floor.counter == 3
