"""Boards whose bootloaders are files and scripts: what they were asked for is kept, and a restart does it.

A partition is a regular file. The scripts answer as the tools are documented to, and are no bootloaders: what
these boards prove ends at the last call, file or variable.
"""

import contextlib
import hashlib
import io
import json
import stat
import sys
import tarfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from firmware.errors import UpdateError
from firmware.update.archive import unpack_tar
from firmware.update.boot.directory import DirectorySlots
from firmware.update.boot.machine import MachineSlots
from firmware.update.boot.nvbootctrl import ATTRIBUTES, VENDOR, Nvbootctrl
from firmware.update.boot.partition import Partitions
from firmware.update.boot.port import PAYLOAD, BootControl
from firmware.update.boot.tryboot import OLDEST, Tryboot
from firmware.update.boot.uboot import OFFSETS, SIZE, Record, Uboot
from ota.release import Privacy, Release

ROOM = 400_000


def image(text: str, size: int = 300_001) -> bytes:
    """An image that says all over which it is; its size is no multiple of a sector."""
    return (text.encode() * (size // len(text) + 1))[:size]


def packed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def release_of(text: str, plain: bytes) -> Release:
    digest = hashlib.sha256(plain).hexdigest()
    return Release(
        id=hashlib.sha256(text.encode()).hexdigest()[:32],
        version=text,
        counter=1,
        compatible=("laptop",),
        needs_counter=0,
        aead="AES-256-GCM",
        salt="0" * 32,
        plain_length=len(plain),
        plain_sha256=digest,
        sealed_length=0,
        sealed_sha256="0" * 64,
        privacy=Privacy("a" * 64, 9_900),
        sbom_sha256="0" * 64,
        recipients=(),
    )


def put(slots: BootControl, text: str, files: dict[str, bytes]) -> str:
    """Write a release as the agent does; returns its id."""
    plain = packed(files)
    release = release_of(text, plain)
    with slots.writing(release) as folder:
        (folder / PAYLOAD).write_bytes(plain)
        unpack_tar(folder / PAYLOAD, folder, len(plain))
    return release.id


def script(path: Path, body: str) -> Path:
    """Write an executable in Python that works in its own folder."""
    path.write_text(
        f"#!{sys.executable}\nimport sys\nfrom pathlib import Path\nhere = Path({str(path.parent)!r})\n{body}"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


class Machine(Protocol):
    """What the contract is tried on."""

    def slots(self) -> BootControl:
        """Boot control as a fresh process has it."""
        ...

    def files(self, text: str) -> dict[str, bytes]:
        """What a release holds on this board."""
        ...

    def restart(self) -> None:
        """Do what the bootloader does at the next start."""
        ...

    def runs(self) -> str:
        """Read out of what was booted which version it is."""
        ...


def start(machine: Machine, *, asked: bool = True) -> str:
    """Start the machine and the camera, as often as the camera asks for; returns the version that runs."""
    if asked:
        with contextlib.suppress(UpdateError):
            machine.slots().restart()
    for _ in range(4):
        machine.restart()
        try:
            machine.slots().boot()
        except UpdateError:
            continue
        return machine.runs()
    raise AssertionError("it restarts for ever")


@dataclass
class Laptop:
    """Versions in folders."""

    folder: Path

    def slots(self) -> DirectorySlots:
        return DirectorySlots(self.folder / "slots")

    def files(self, text: str) -> dict[str, bytes]:
        return {"version": text.encode()}

    def restart(self) -> None:
        """Nothing: a start of the camera is enough."""

    def runs(self) -> str:
        slots = self.slots()
        return (slots.folder / "versions" / str(slots.running()) / "version").read_text()


@dataclass
class TwoSlots:
    """A machine with partitions that are files."""

    folder: Path
    kinds: tuple[str, ...] = ("root",)
    starts: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        for slot in "ab":
            for kind in self.kinds:
                path = self.part(slot, kind)
                if not path.exists():
                    path.write_bytes(image("factory" if slot == "a" else "empty", ROOM))
        if not self.boot_id.exists():
            self.boot_id.write_text("start 0\n")
            script(self.folder / "reboot", "(here / 'asked').write_text(' '.join(sys.argv[1:]))\n")

    @property
    def boot_id(self) -> Path:
        return self.folder / "boot_id"

    def part(self, slot: str, kind: str = "root") -> Path:
        return self.folder / f"{kind}_{slot}"

    def parts(self) -> dict[str, dict[str, Path]]:
        return {slot: {f"{kind}.img": self.part(slot, kind) for kind in self.kinds} for slot in "ab"}

    def files(self, text: str) -> dict[str, bytes]:
        return {f"{kind}.img": image(text) for kind in self.kinds}

    def read(self, slot: str) -> str:
        """Which version a slot holds; empty where it is not one, whole."""
        found = set()
        for kind in self.kinds:
            content = self.part(slot, kind).read_bytes()
            texts = {"factory", "one", "two", "three", "version 1", "version 2"}
            whole = [text for text in texts if content.startswith(image(text))]
            found.add(whole[0] if whole else "")
        return found.pop() if len(found) == 1 else ""

    def asked(self) -> str | None:
        """What the last restart asked for, once."""
        path = self.folder / "asked"
        if not path.exists():
            return None
        said = path.read_text()
        path.unlink()
        return said

    def tick(self) -> None:
        self.boot_id.write_text(f"start {int(self.boot_id.read_text().split()[1]) + 1}\n")


@dataclass
class Pi(TwoSlots):
    """A Raspberry Pi: reads autoboot.txt as its bootloader is documented to."""

    kinds: tuple[str, ...] = ("boot", "root")
    loses_the_flag: bool = False
    numbers: dict[str, int] = field(default_factory=lambda: {"a": 2, "b": 3})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.tree.exists():
            self.tree.mkdir()
            self.autoboot.parent.mkdir()
            self.mailbox.touch()
            self.tell("build-timestamp", OLDEST)
            self.tell("partition", 2)
            self.tell("tryboot", 0)
            self.switch().keep("a")

    @property
    def tree(self) -> Path:
        return self.folder / "bootloader"

    @property
    def mailbox(self) -> Path:
        return self.folder / "vcio"

    @property
    def autoboot(self) -> Path:
        return self.folder / "fat" / "autoboot.txt"

    def tell(self, name: str, number: int) -> None:
        (self.tree / name).write_bytes(number.to_bytes(4))

    def switch(self) -> Tryboot:
        asks = (str(self.folder / "reboot"),)
        return Tryboot(self.autoboot, self.tree, self.numbers, asks, self.mailbox)

    def slots(self) -> MachineSlots:
        switch = self.switch()
        writer = Partitions(self.parts(), switch.booted)
        return MachineSlots(self.folder / "slots", switch, writer, self.boot_id)

    def restart(self) -> None:
        flag = self.asked() == "0 tryboot" and not self.loses_the_flag
        section, found = "", {"all": 0, "tryboot": 0}
        for line in self.autoboot.read_text().splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line.startswith("boot_partition="):
                found[section] = int(line.partition("=")[2])
        self.tell("partition", found["tryboot"] if flag else found["all"])
        self.tell("tryboot", int(flag))
        self.tick()

    def runs(self) -> str:
        return self.read(self.switch().booted())


@dataclass
class Emulated(TwoSlots):
    """A machine of U-Boot's: does with both records what scripts/images/boot.cmd does."""

    kinds: tuple[str, ...] = ("boot", "root")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.state.exists():
            self.state.write_bytes(bytes(1 << 13))
            self.boots("a")

    @property
    def state(self) -> Path:
        return self.folder / "bootstate"

    def boots(self, slot: str) -> None:
        (self.folder / "cmdline").write_text(f"console=ttyAMA0 veilcam.slot={slot} quiet\n")

    def records(self) -> list[Record | None]:
        return [Record.decoded(self.state.read_bytes()[at : at + SIZE]) for at in OFFSETS]

    def switch(self) -> Uboot:
        def ask(argument: str) -> None:
            (self.folder / "asked").write_text(argument)

        return Uboot(self.state, self.folder / "cmdline", ask)

    def slots(self) -> MachineSlots:
        switch = self.switch()
        writer = Partitions(self.parts(), switch.booted)
        return MachineSlots(self.folder / "slots", switch, writer, self.boot_id)

    def restart(self) -> None:
        self.asked()
        ages = [(0, True) if one is None else one.age for one in self.records()]
        chosen = 0 if ages[0] >= ages[1] else 1
        record = self.records()[chosen] or Record(0, "a")
        slot = record.good
        if record.trying != "none" and not record.spent:
            slot = record.trying
            content = bytearray(self.state.read_bytes())
            at = OFFSETS[1 - chosen]
            content[at : at + SIZE] = replace(record, spent=True).encoded()
            self.state.write_bytes(content)
        self.boots(slot)
        self.tick()

    def runs(self) -> str:
        return self.read(self.switch().booted())


NVBOOTCTRL = """
import json
VENDOR = {vendor!r}
state = json.loads((here / 'nv.json').read_text())
with (here / 'calls').open('a') as log:
    log.write(' '.join(sys.argv[1:]) + '\\n')
words = sys.argv[1:]
rootfs = words[:2] == ['-t', 'rootfs']
words = words[2:] if rootfs else words
def marked(n):
    return (here / 'efivars' / f'RootfsStatusSlot{{"AB"[n]}}-{{VENDOR}}').read_bytes()[4] == 0xFF
if words == ['get-current-slot']:
    print(state['rootfs' if rootfs else 'kernel'])
elif words == ['verify']:
    state['tries'][state['rootfs']] = 3
elif words == ['dump-slots-info'] and rootfs:
    print('Current rootfs slot:', 'AB'[state['rootfs']])
    print('num_slots: 2')
    for n in (0, 1):
        status = 'unbootable' if marked(n) else 'normal'
        print(f"slot: {{n}},             retry_count: {{state['tries'][n]}},             status: {{status}}")
elif words[0] == 'set-active-boot-slot' and rootfs:
    if (here / 'efivars' / f'RootfsRedundancyLevel-{{VENDOR}}').read_bytes()[4]:
        state['active'] = int(words[1])
else:
    sys.exit('usage: nvbootctrl ...')
(here / 'nv.json').write_text(json.dumps(state))
"""


@dataclass
class Jetson(TwoSlots):
    """A Jetson: takes the active root while it has tries; then marks it, and takes the other."""

    panics: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.folder / "nvbootctrl").exists():
            script(self.folder / "nvbootctrl", NVBOOTCTRL.format(vendor=VENDOR))
            self.efivars.mkdir()
            for name, value in (
                ("RootfsRedundancyLevel", 1),
                ("RootfsStatusSlotA", 0),
                ("RootfsStatusSlotB", 0),
            ):
                self.set(name, value)
            self.write({"rootfs": 0, "kernel": 0, "active": 0, "tries": [3, 3]})

    @property
    def efivars(self) -> Path:
        return self.folder / "efivars"

    def set(self, name: str, value: int) -> None:
        (self.efivars / f"{name}-{VENDOR}").write_bytes(ATTRIBUTES + value.to_bytes(4, "little"))

    def get(self, name: str) -> int:
        return (self.efivars / f"{name}-{VENDOR}").read_bytes()[4]

    def state(self) -> dict[str, object]:
        return dict(json.loads((self.folder / "nv.json").read_text()))

    def write(self, state: dict[str, object]) -> None:
        (self.folder / "nv.json").write_text(json.dumps(state))

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    def switch(self) -> Nvbootctrl:
        return Nvbootctrl(self.efivars, (str(self.folder / "nvbootctrl"),), (str(self.folder / "reboot"),))

    def slots(self) -> MachineSlots:
        switch = self.switch()
        writer = Partitions(self.parts(), switch.booted)
        return MachineSlots(self.folder / "slots", switch, writer, self.boot_id)

    def restart(self) -> None:
        self.asked()
        state = json.loads((self.folder / "nv.json").read_text())
        slot = state["active"]
        if self.panics and slot != state["rootfs"]:
            state["tries"][slot] = 0
        if state["tries"][slot] == 0 or self.get(f"RootfsStatusSlot{'AB'[slot]}"):
            self.set(f"RootfsStatusSlot{'AB'[slot]}", 0xFF)
            slot = 1 - slot
        state["tries"][slot] -= 1
        state.update(rootfs=slot, kernel=slot, active=slot)
        self.write(state)
        self.tick()

    def runs(self) -> str:
        return self.read(self.switch().booted())
