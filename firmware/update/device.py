"""Opens the update agent of one state folder: its records, its boot control, its key, and what it trusts."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from firmware.access.identity import Identity
from firmware.core.policy import PEOPLE
from firmware.errors import OutputError, UpdateError
from firmware.ports import Clock
from firmware.state import locked, written
from firmware.update.agent import Agent, Device
from firmware.update.boot.choose import DIRECTORY, open_slots
from firmware.update.record import FOLDER, Records
from ota.release import Privacy
from ota.stanza import X25519, name_of

ANCHOR = "anchor.json"
RECALL = 9_900
"""What the self-test of a version that has not measured itself yet is held to have found, of 10,000."""


class Board(NamedTuple):
    """What updates have to be for, and how the board boots them, both by the name in its profile."""

    name: str
    boot: str


ANY_BOARD = Board("", DIRECTORY)
"""No board that an update could be for."""


class DeviceKey:
    """The device's X25519 key as updates are sealed for it; it never leaves its store."""

    kem = X25519

    def __init__(self, identity: Identity) -> None:
        self._keys = identity.keys
        self.recipient = name_of(X25519PublicKey.from_public_bytes(identity.keys.exchange_public))

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """Return what was wrapped; raises InvalidTag, ValueError."""
        return self._keys.unwrap(wrapped, info)


@contextmanager
def update_agent(state: Path, identity: Identity, board: Board, clock: Clock) -> Iterator[Agent]:
    """Open the agent and hold its lock for the length of the block, beside a camera that runs.

    Raises:
        UpdateError: another process holds it.
        IdentityDamaged: both records are damaged, or older than the last one was.
        KeyUnavailable: the hardware that counts them does not answer.
        OutputError: the folder cannot be written.
    """

    def refuse() -> None:
        raise UpdateError("BUSY: another update is under way; try again when it is done")

    folder = state / FOLDER
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder / "lock", refuse):
            anchor = folder / ANCHOR
            trusted = anchor.read_bytes() if anchor.exists() else b""
            device = Device(trusted, (board.name,), DeviceKey(identity), Privacy(PEOPLE.digest, RECALL))
            records = Records(state, identity.keys, identity.counter)
            yield Agent(device, records, open_slots(board.boot, state), clock)
    except OSError as exc:
        raise OutputError(
            f"{exc.filename or folder}: {exc.strerror}; free space, or mend its permissions"
        ) from exc


def has_anchor(state: Path) -> bool:
    """Say whether this device trusts a root; without one it takes no update."""
    return (state / FOLDER / ANCHOR).exists()


def trust(state: Path, anchor: bytes) -> str:
    """Keep the root that updates are verified from, once; returns its SHA-256.

    Raises:
        UpdateError: there is one already, and it is another.
    """
    path = state / FOLDER / ANCHOR
    if path.exists() and path.read_bytes() != anchor:
        raise UpdateError(
            f"{path}: this camera trusts another root; roots follow one another by signed updates alone"
        )
    with written(path, private=True) as part:
        part.write_bytes(anchor)
    return hashlib.sha256(anchor).hexdigest()
