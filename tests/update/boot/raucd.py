"""A peer on a private message bus that answers as RAUC 1.15.2 is documented to; its slots are files.

The bus is the real dbus-daemon. RAUC it is not: it believes every bundle, and its bootloader takes the slot
that was marked last.
"""

import json
import select
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from jeepney import (
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    message_bus,
    new_method_return,
    new_signal,
)
from jeepney.io.blocking import open_dbus_connection

from firmware.update.boot.machine import MachineSlots
from firmware.update.boot.rauc import INTERFACE, Rauc
from tests.update.boot.boards import TwoSlots, image, script

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={path}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""
NAMES = {"rootfs.0": "a", "rootfs.1": "b"}


class Bus:
    """dbus-daemon on a socket of its own."""

    def __init__(self, folder: Path) -> None:
        config, path = folder / "bus.conf", folder / "bus"
        config.write_text(CONFIG.format(path=path))
        self.address = f"unix:path={path}"
        command = ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], 10)[0]
        assert self._process.stdout.readline()

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=10)


@dataclass
class RaucBoard(TwoSlots):
    """A machine that RAUC updates."""

    version: str = "1.15.2"
    activates: bool = False
    refuses: str = ""
    silent: bool = False
    heard: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.write({"booted": "rootfs.0", "primary": "rootfs.0"})
        script(self.folder / "rauc", f"print('rauc {self.version}')\n")
        self.bus = Bus(self.folder)
        self._end, up = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve, args=[up], daemon=True)
        self._thread.start()
        if not up.wait(10):
            self.bus.close()
            raise AssertionError("the bus does not let the peer in")
        return self

    def __exit__(self, *exc: object) -> None:
        self._end.set()
        self._thread.join(10)
        self.bus.close()

    def files(self, text: str) -> dict[str, bytes]:
        return {"update.raucb": image(text)}

    def state(self) -> dict[str, str]:
        return dict(json.loads((self.folder / "state.json").read_text()))

    def write(self, state: dict[str, str]) -> None:
        (self.folder / "state.json").write_text(json.dumps(state))

    def control(self, install_s: float = 10) -> Rauc:
        tools = (str(self.folder / "rauc"),), (str(self.folder / "reboot"),)
        return Rauc(self.bus.address, *tools, install_s)

    def slots(self) -> MachineSlots:
        rauc = self.control()
        return MachineSlots(self.folder / "slots", rauc, rauc, self.boot_id)

    def restart(self) -> None:
        self.asked()
        self.write({**self.state(), "booted": self.state()["primary"]})
        self.tick()

    def runs(self) -> str:
        return self.read(NAMES[self.state()["booted"]])

    def _serve(self, up: threading.Event) -> None:
        with open_dbus_connection(bus=self.bus.address) as bus:
            bus.send_and_get_reply(message_bus.RequestName("de.pengutronix.rauc"))
            up.set()
            while not self._end.is_set():
                try:
                    asked = bus.receive(timeout=0.05)
                except TimeoutError:
                    continue
                if asked.header.message_type is MessageType.method_call:
                    member = asked.header.fields[HeaderFields.member]
                    signature, body = self._answer(member, asked.body)
                    bus.send(new_method_return(asked, signature, body))
                    if member == "InstallBundle" and not self.silent:
                        bus.send(self._install(Path(asked.body[0])))

    def _answer(self, member: str, body: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
        state = self.state()
        self.heard.append(" ".join([member, *(part for part in body if isinstance(part, str))]))
        if member == "GetSlotStatus":
            return "a(sa{sv})", ([self._status(name) for name in ("rootfs.1", "rootfs.0", "data.0")],)
        if member == "GetPrimary":
            return "s", (state["primary"],)
        if member == "Mark":
            if body[0] == "active":
                self.write({**state, "primary": body[1]})
            return "ss", (body[1], "marked")
        return ("v", (("s", self.refuses),)) if member == "Get" else ("", ())

    def _status(self, name: str) -> tuple[str, dict[str, tuple[str, str]]]:
        booted = "booted" if self.state()["booted"] == name else "inactive"
        boots = {"bootname": ("s", NAMES[name].upper())} if name in NAMES else {}
        return name, {"class": ("s", name[:-2]), "state": ("s", booted), **boots}

    def _install(self, bundle: Path) -> Message:
        state = self.state()
        target = next(name for name in NAMES if name != state["booted"])
        if not self.refuses:
            with self.part(NAMES[target]).open("r+b") as file:
                file.write(bundle.read_bytes())
            if self.activates:
                self.write({**state, "primary": target})
        emitter = DBusAddress("/", interface=INTERFACE)
        return new_signal(emitter, "Completed", "i", (int(bool(self.refuses)),))
