"""RAUC as bootloader and writer: a release's payload holds `update.raucb`, which RAUC itself verifies again.

Over D-Bus (de.pengutronix.rauc.Installer on the system bus): GetSlotStatus says which slot is booted,
InstallBundle writes the other one and ends with the signal Completed, Mark says which slot every start
takes and that one is good, GetPrimary what the bootloader would take, LastError why a bundle was refused.
RAUC must not take a slot as soon as it is written (`activate-installed=false` in system.conf): a release is
armed only once it is known to be whole.

Before 1.15.2 RAUC takes a plain bundle whose signature covers a part of it (CVE-2026-34155), so an older
one is refused. Source: RAUC documentation, "D-Bus API" and "[system] section".

Debian 12 has RAUC 1.8, which is what the refusal is tested with. The calls are tested against a peer that
the tests write, on a real message bus: it shows their order and their answers, not what RAUC does to a
disk.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, DBusErrorResponse, MatchRule, Properties, message_bus, new_method_call
from jeepney.io.blocking import DBusConnection, open_dbus_connection
from jeepney.wrappers import unwrap_msg

from firmware.errors import UpdateError
from firmware.update.boot.command import restart_machine, told_by
from ota.errors import Code, UpdateRefused
from ota.release import Release

BUNDLE = "update.raucb"
OLDEST = (1, 15, 2)
INTERFACE = "de.pengutronix.rauc.Installer"
RAUC = DBusAddress("/", bus_name="de.pengutronix.rauc", interface=INTERFACE)
ANSWER_S, INSTALL_S = 30.0, 1800.0
LOOK = "look at: systemctl status rauc"
INSTALL_RAUC = "install RAUC 1.15.2 or later with the image"


class Rauc:
    """RAUC's two bootable slots, the first by name being A; each question is a connection of its own."""

    def __init__(
        self,
        bus: str = "SYSTEM",
        tool: Sequence[str] = ("rauc",),
        reboot: Sequence[str] = (),
        install_s: float = INSTALL_S,
    ) -> None:
        self._bus, self._tool, self._reboot, self._install_s = bus, tool, reboot, install_s

    def require_able(self) -> None:
        """Refuse a RAUC that is too old, and one that does not answer."""
        try:
            said = told_by([*self._tool, "--version"], INSTALL_RAUC)
            version = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", said)
            if version is None or tuple(int(part or 0) for part in version.groups()) < OLDEST:
                raise UpdateRefused(Code.UNSUPPORTED, f"this machine has {said[:40]!r}; {INSTALL_RAUC}")
            self.booted()
        except UpdateError as exc:
            raise UpdateRefused(Code.UNSUPPORTED, str(exc)) from exc

    def booted(self) -> str:
        """Return the slot that runs."""
        for slot, (_, state) in self._slots().items():
            if state == "booted":
                return slot
        raise UpdateError(f"RAUC does not say which slot is booted; {LOOK}")

    def matched(self) -> bool:
        """Say yes: what belongs to a slot is RAUC's to settle, by its groups of slots."""
        return True

    def arm(self, slot: str) -> bool:
        """Have every start take a slot."""
        self._mark("active", self._slots()[slot][0])
        return True

    def keep(self, slot: str) -> None:
        """Have every start take a slot; what runs is good."""
        name, state = self._slots()[slot]
        if state == "booted":
            self._mark("good", name)
        self._mark("active", name)

    def mend(self, slot: str) -> None:
        """Do nothing: what the bootloader keeps is RAUC's to mend."""

    def restart(self, *, trial: bool) -> None:
        """Restart; which slot is taken was said before."""
        restart_machine("", self._reboot)

    def check(self, slot: str, folder: Path) -> None:
        """Look whether there is a bundle, and a slot that rests; raises UpdateRefused."""
        bundle = folder / BUNDLE
        if bundle.is_symlink() or not bundle.is_file():
            raise UpdateRefused(Code.INCOMPATIBLE, f"the release has no {BUNDLE}, which this board needs")
        if self._slots()[slot][1] == "booted":
            raise UpdateRefused(Code.BUSY, f"slot {slot} is what runs; it is never written")

    def write(self, slot: str, folder: Path, release: Release) -> None:
        """Have RAUC verify and install the bundle of a release; raises UpdateRefused."""
        with self._connected() as bus:
            # By its own name on the bus: anybody could send a signal that is called so.
            (owner,) = _ask(bus, message_bus.GetNameOwner(RAUC.bus_name))
            rule = MatchRule(type="signal", sender=owner, interface=INTERFACE, member="Completed")
            _ask(bus, message_bus.AddMatch(rule))
            with bus.filter(rule) as completed:
                _ask(bus, new_method_call(RAUC, "InstallBundle", "sa{sv}", (str(folder / BUNDLE), {})))
                try:
                    (result,) = bus.recv_until_filtered(completed, timeout=self._install_s).body
                except TimeoutError as exc:
                    raise UpdateRefused(
                        Code.UNAVAILABLE, f"RAUC did not end within {self._install_s:.0f} s; {LOOK}"
                    ) from exc
            if result != 0:
                (error,) = _ask(bus, Properties(RAUC).get("LastError"))
                raise UpdateRefused(Code.CORRUPT, f"RAUC refuses the bundle: {str(error[1])[:300]}")
            (primary,) = _ask(bus, new_method_call(RAUC, "GetPrimary"))
        name, running = self._slots()[slot][0], self.booted()
        if primary == name:
            self.keep(running)
            raise UpdateRefused(
                Code.UNSUPPORTED,
                "RAUC takes a slot as soon as it is written; set activate-installed=false in system.conf",
            )

    def _mark(self, state: str, name: str) -> None:
        with self._connected() as bus:
            _ask(bus, new_method_call(RAUC, "Mark", "ss", (state, name)))

    def _slots(self) -> dict[str, tuple[str, str]]:
        """Return the name and the state of the slots that can be booted."""
        with self._connected() as bus:
            (told,) = _ask(bus, new_method_call(RAUC, "GetSlotStatus"))
        found = sorted((name, _text(about, "state")) for name, about in told if _text(about, "bootname"))
        if len(found) != 2:
            raise UpdateError(
                f"RAUC has {len(found)} slots that can be booted, and two are needed; mend system.conf"
            )
        return dict(zip("ab", found, strict=True))

    @contextmanager
    def _connected(self) -> Iterator[DBusConnection]:
        try:
            with open_dbus_connection(bus=self._bus) as bus:
                yield bus
        except DBusErrorResponse as exc:
            raise UpdateError(f"RAUC says {exc.name}: {str(exc.data)[:200]}; {LOOK}") from exc
        except (OSError, KeyError) as exc:
            raise UpdateError(f"the system bus, or RAUC on it, does not answer: {exc}; {LOOK}") from exc


def _ask(bus: DBusConnection, message: Any) -> Any:
    """Return the body of an answer; raises DBusErrorResponse, TimeoutError."""
    return unwrap_msg(bus.send_and_get_reply(message, timeout=ANSWER_S))


def _text(about: Any, key: str) -> str:
    """Return the text of a variant, which has its signature before its value."""
    return str(about[key][1]) if key in about else ""
