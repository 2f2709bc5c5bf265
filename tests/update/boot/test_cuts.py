"""The power goes at any call of an install, a restart or a confirmation: the Pi boots old or new, whole.

As in tests/update/test_agent.py: a kill at each call of the kind, by strace. It shows the order of what is
done, not what a card keeps of it.
"""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from firmware.access.identity import open_identity
from firmware.errors import UpdateError
from firmware.ports import KeyStore, SystemClock
from firmware.update.agent import Agent, Device
from firmware.update.record import Phase, Records
from ota.stanza import KeyInMemory
from tests.ota.workshop import BOARD, PRIVACY, Workshop
from tests.update.boot.boards import Pi, packed
from tests.update.test_agent import CALLS

CHILD = """
import sys
from pathlib import Path
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from firmware.access.identity import open_identity
from firmware.ports import SystemClock
from firmware.update.agent import Agent, Device
from firmware.update.record import Records
from ota.release import Privacy
from ota.stanza import KeyInMemory
from tests.update.boot.boards import Pi
folder, told = Path(sys.argv[1]), Path(sys.argv[2])
key = KeyInMemory(load_pem_private_key((told / "key").read_bytes(), None))
device = Device((told / "anchor").read_bytes(), ("laptop",), key, Privacy("a" * 64, 9_900))
slots = Pi(folder / "pi").slots()
agent = Agent(device, Records(folder / "state", open_identity(folder / "state").keys), slots, SystemClock())
if sys.argv[3] == "install":
    with (told / "bundle").open("rb") as file:
        agent.install(file)
    slots.restart()
else:
    slots.boot()
    agent.begun()
    agent.show(Privacy("a" * 64, 9_900))
    agent.confirm()
"""


class Camera:
    """A Pi with its agent."""

    def __init__(self, folder: Path, shop: Workshop) -> None:
        self.folder, self.shop = folder, shop

    @property
    def pi(self) -> Pi:
        return Pi(self.folder / "pi")

    def keys(self) -> KeyStore:
        return open_identity(self.folder / "state").keys

    def agent(self) -> Agent:
        device = Device(self.shop.anchor, (BOARD,), KeyInMemory(self.shop.key), PRIVACY)
        return Agent(device, Records(self.folder / "state", self.keys()), self.pi.slots(), SystemClock())

    def confirm(self) -> Agent:
        """Confirm what is on trial, once it has shown what it hides."""
        agent = self.agent()
        agent.show(PRIVACY)
        agent.confirm()
        return agent

    def bundle(self, counter: int) -> bytes:
        return self.shop.build(packed(self.pi.files(f"version {counter}")), counter)[1]

    def start(self) -> str:
        """Restart until the camera runs; returns the version."""
        for _ in range(4):
            self.pi.restart()
            try:
                self.pi.slots().boot()
            except UpdateError:
                continue
            self.agent().begun()
            return self.pi.runs()
        raise AssertionError("it restarts for ever")

    def update(self, counter: int) -> None:
        self.agent().install(io.BytesIO(self.bundle(counter)))
        self.pi.slots().restart()
        assert self.start() == f"version {counter}"
        self.confirm()


def cut_off(camera: Camera, what: str, told: Path, call: str, at: int) -> bool:
    """Run a step and kill it at one of its calls; False once it gets to its end."""
    command = [sys.executable, "-c", CHILD, str(camera.folder), str(told), what]
    trace = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    done = subprocess.run(
        [*trace, "-e", f"inject={call}:signal=KILL:when={at}", *command],
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), done.stderr[-2000:]
    return done.returncode != 0


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("what", ["install", "confirm"])
def test_wherever_it_is_killed_old_or_new_boots_and_the_floor_does_not_sink(
    what: str, tmp_path: Path
) -> None:
    shop = Workshop(tmp_path / "authors")
    shop.clock.now = shop.clock.now.now(shop.clock.now.tzinfo)
    (tmp_path / "camera").mkdir()
    camera, told, kept = Camera(tmp_path / "camera", shop), tmp_path / "told", tmp_path / "kept"
    camera.update(1)
    bundle = camera.bundle(2)
    told.mkdir()
    assert isinstance(shop.key, X25519PrivateKey)
    (told / "key").write_bytes(shop.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (told / "anchor").write_bytes(shop.anchor)
    (told / "bundle").write_bytes(bundle)
    if what == "confirm":
        camera.agent().install(io.BytesIO(bundle))
        camera.pi.slots().restart()
        camera.pi.restart()
    subprocess.run(["cp", "-a", str(camera.folder), str(kept)], check=True)
    points, step = 0, int(os.environ.get("VEILCAM_CUT_STEP", "5"))
    for call in CALLS:
        for at in range(1, 2000, step):
            subprocess.run(["rm", "-rf", str(camera.folder)], check=True)
            subprocess.run(["cp", "-a", str(kept), str(camera.folder)], check=True)
            if not cut_off(camera, what, told, call, at):
                break
            points += 1
            check_after_cut(camera, bundle)
    assert points >= 30 / step
    sys.stdout.write(f"{what}: killed at {points} points, old or new each time\n")


def check_after_cut(camera: Camera, bundle: bytes) -> None:
    """Old or new boots, kernel and root of one version; the floor is no lower; an update gets to its end."""
    floor = camera.agent().now.floor.counter
    assert floor >= 1
    assert camera.start() in ("version 1", "version 2")
    agent = camera.agent()
    if agent.now.phase is Phase.TRIAL:
        agent = camera.confirm()
    elif agent.now.release not in agent.now.quarantined and agent.now.floor.counter < 2:
        agent.install(io.BytesIO(bundle))
        camera.pi.slots().restart()
        assert camera.start() == "version 2"
        camera.confirm()
    runs, again = camera.start(), camera.agent()
    assert again.now.phase is Phase.IDLE
    assert runs == ("version 2" if again.now.floor.counter == 2 else "version 1")
    assert again.now.floor.counter >= floor
    assert not [path for path in camera.folder.rglob("*") if ".part" in path.name]
