"""Heartbeats to systemd: ready once frames are released, alive only while capture and looking go on.

The protocol is sd_notify(3): datagrams to the socket that NOTIFY_SOCKET names; WATCHDOG_USEC states how often
systemd wants to hear from us.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pulse:
    """Counters that rise while the camera works."""

    released: int
    looks: int


class Notifier:
    """Talks to systemd; silent where nothing started us that listens."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        usec = environ.get("WATCHDOG_USEC", "")
        self.interval_s = int(usec) / 2e6 if usec.isdigit() and int(usec) > 0 else 1.0

    def tell(self, state: str) -> None:
        """Send one state such as READY=1; a datagram, so it never waits."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            try:
                sender.sendto(state.encode("ascii"), address)
            except OSError:
                # systemd itself is gone or busy; its watchdog decides what follows.
                return


async def beat(pulse: Callable[[], Pulse], notifier: Notifier) -> None:
    """Tell systemd that the camera is ready, then that it lives, for as long as both counters rise."""
    before = Pulse(0, 0)
    ready = False
    while True:
        now = pulse()
        if now.released > before.released and now.looks > before.looks:
            notifier.tell("WATCHDOG=1" if ready else "READY=1\nWATCHDOG=1")
            ready = True
            before = now
        await asyncio.sleep(notifier.interval_s)
