"""The record: what was acknowledged is there after any kill, and no change of it goes unseen."""

import asyncio
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from firmware.access.identity import open_identity
from firmware.access.record import prove, read_head, sign_head
from firmware.audit import BURST, FILE, FIRST, FOLDER, Act, Audit, Head, Ration, lines_of, read_line
from firmware.core.strict_json import NotStrict
from firmware.errors import AuditUnwritable, RecordDamaged
from firmware.ports import KeyStore, SystemClock

KILLS = int(os.environ.get("VEILCAM_KILLS", "10"))


class Hands:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now_ns = 0

    def monotonic_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return self.now_ns


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyStore:
    return open_identity(tmp_path_factory.mktemp("device")).keys


def opened(state: Path, keys: KeyStore) -> Audit:
    return Audit(state, keys, SystemClock())


def lines(state: Path) -> list[bytes]:
    return list(lines_of(state / FOLDER / FILE))


async def test_what_is_recorded_is_there_in_order_and_proves(tmp_path: Path, keys: KeyStore) -> None:
    audit = await asyncio.to_thread(opened, tmp_path, keys)
    heads: list[Head] = []
    audit.watch(heads.append)
    for n in range(5):
        await audit.record(Act.GRANT_ASKED, "ada", {"purpose": f"reason {n}", "minutes": 15})
    entries = [read_line(line)[0] for line in lines(tmp_path)]
    assert [entry.what for entry in entries] == [Act.AUDIT_BEGUN, *[Act.GRANT_ASKED] * 5]
    assert entries[3].about == {"purpose": "reason 2", "minutes": 15}
    assert entries[0].before == FIRST
    assert prove(lines(tmp_path), keys.signing_public, heads[2]) == audit.head == heads[-1]
    again = await asyncio.to_thread(opened, tmp_path, keys)
    assert again.head == audit.head, "and at the next start"
    kept = read_head(sign_head(audit.head, keys))
    assert (kept.head, kept.public) == (audit.head, keys.signing_public)


async def test_many_at_once_are_one_chain(tmp_path: Path, keys: KeyStore) -> None:
    audit = await asyncio.to_thread(opened, tmp_path, keys)
    async with asyncio.TaskGroup() as tasks:
        for n in range(50):
            tasks.create_task(audit.record(Act.LOG_IN, f"user {n}", {}))
    assert prove(lines(tmp_path), keys.signing_public).n == 51


def test_a_line_that_a_power_cut_left_half_written_is_cut_off_and_told(
    tmp_path: Path, keys: KeyStore
) -> None:
    opened(tmp_path, keys).write(Act.LOG_IN, "ada", {})
    with (tmp_path / FOLDER / FILE).open("ab") as file:
        file.write(b'{"entry":{"ab')
    audit = opened(tmp_path, keys)
    last, _ = read_line(lines(tmp_path)[-1])
    assert (last.what, last.about) == (Act.AUDIT_MENDED, {"cut_off_bytes": 13})
    assert prove(lines(tmp_path), keys.signing_public) == audit.head


def test_a_damaged_record_is_put_away_and_named_by_the_next(tmp_path: Path, keys: KeyStore) -> None:
    opened(tmp_path, keys).write(Act.LOG_IN, "ada", {})
    path = tmp_path / FOLDER / FILE
    path.write_bytes(path.read_bytes().replace(b"ada", b"eve"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    opened(tmp_path, keys)
    (first,) = lines(tmp_path)
    assert read_line(first)[0].about == {"damaged": digest}
    (kept,) = path.parent.glob("damaged-*")
    assert b"eve" in kept.read_bytes()


async def test_a_full_disk_refuses_and_leaves_no_gap(
    tmp_path: Path, keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = await asyncio.to_thread(opened, tmp_path, keys)
    before = lines(tmp_path)
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda handle, line: write(handle, line[:10]))
        with pytest.raises(AuditUnwritable, match="No space left"):
            await audit.record(Act.RAW_BEGUN, "ada", {})
    assert lines(tmp_path) == before
    await audit.record(Act.RAW_BEGUN, "ada", {})
    assert prove(lines(tmp_path), keys.signing_public) == audit.head


def fill(audit: Audit) -> None:
    for _ in range(1000):
        audit.write(Act.RAW_BEGUN, "ada", {"purpose": "x" * 300})


def test_a_really_full_disk_refuses(tmp_path: Path, keys: KeyStore) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(small)], check=True)
    try:
        audit = opened(small, keys)
        with pytest.raises(AuditUnwritable, match="free space"):
            fill(audit)
        assert prove(lines(small), keys.signing_public) == audit.head
        assert opened(small, keys).head == audit.head
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_refusals_are_rationed_and_the_next_one_says_how_many_were_left_out() -> None:
    hands = Hands()
    ration = Ration(hands)
    assert [ration.take() for _ in range(BURST + 3)] == [0] * BURST + [None] * 3
    hands.now_ns = 61 * 10**9
    assert (ration.take(), ration.take()) == (3, None)


WRITER = """
import sys
from pathlib import Path
from firmware.access.identity import open_identity
from firmware.audit import Act, Audit
from firmware.ports import SystemClock
audit = Audit(Path(sys.argv[1]), open_identity(Path(sys.argv[2])).keys, SystemClock())
print(audit.head.n, flush=True)
for n in range(100_000):
    audit.write(Act.RAW_BEGUN, "ada", {"n": n})
    print(audit.head.n, flush=True)
"""


@pytest.mark.timeout(60 + 2 * KILLS)
def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    state, device = tmp_path / "state", tmp_path / "device"
    keys = open_identity(device).keys
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(state), str(device)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(random.random() / 20)  # noqa: S311 - no secret
            process.send_signal(signal.SIGKILL)
            said = process.stdout.read().split()
        acknowledged = int(said[-1]) if said else 0
        audit = opened(state, keys)
        assert audit.head.n >= acknowledged
        assert prove(lines(state), keys.signing_public) == audit.head


def tampered(whole: list[bytes], chance: random.Random) -> list[bytes]:
    """One random edit, deletion, exchange, repetition or cut."""
    kind, at = chance.randrange(6), chance.randrange(len(whole))
    if kind == 0:
        line = bytearray(whole[at])
        line[chance.randrange(len(line))] ^= 1 << chance.randrange(8)
        return [*whole[:at], bytes(line), *whole[at + 1 :]]
    if kind == 1:
        return whole[:at] + whole[at + 1 :]
    if kind == 2:
        other = chance.randrange(len(whole))
        changed = list(whole)
        changed[at], changed[other] = changed[other], changed[at]
        return changed
    if kind == 3:
        return [*whole[:at], whole[at], *whole[at:]]
    if kind == 4:
        return whole[:at]
    told = json.loads(whole[at])
    told["entry"]["who"] = "somebody else"
    return [*whole[:at], json.dumps(told, sort_keys=True, separators=(",", ":")).encode(), *whole[at + 1 :]]


def test_a_thousand_tamperings_are_all_found(tmp_path: Path, keys: KeyStore) -> None:
    audit = opened(tmp_path, keys)
    for n in range(30):
        audit.write(Act.RAW_BEGUN, f"user {n % 3}", {"purpose": "why", "n": n})
    whole, chance, missed = lines(tmp_path), random.Random(18), 0  # noqa: S311 - no secret
    tried = 0
    while tried < 1000:
        changed = tampered(whole, chance)
        if changed == whole:
            continue
        tried += 1
        try:
            prove(changed, keys.signing_public, audit.head)
        except RecordDamaged:
            continue
        missed += 1
    assert missed == 0


def test_a_record_written_anew_by_the_device_itself_is_found_by_a_kept_head(
    tmp_path: Path, keys: KeyStore
) -> None:
    first, second = opened(tmp_path / "one", keys), opened(tmp_path / "two", keys)
    for audit, who in ((first, "ada"), (second, "eve")):
        audit.write(Act.RAW_BEGUN, who, {})
    assert prove(lines(tmp_path / "two"), keys.signing_public) == second.head
    with pytest.raises(RecordDamaged, match="written anew"):
        prove(lines(tmp_path / "two"), keys.signing_public, first.head)


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b'{"entry":{},"sig":""}', b"x" * 20_000, b'{"entry":1,"sig":1}']
)
def test_what_is_no_line_is_none(line: bytes) -> None:
    with pytest.raises(NotStrict):
        read_line(line)


@pytest.mark.parametrize("text", ["", "{}", '{"key":"","n":1,"sha256":"","sig":""}', "x" * 5000])
def test_what_is_no_head_is_none(text: str) -> None:
    with pytest.raises(RecordDamaged):
        read_head(text)
