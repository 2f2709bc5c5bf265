"""A camera on a bench, as its tests see it: power, console, shell and network, whichever the bench has."""

import asyncio
import base64
import contextlib
import gc
import re
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from labgrid import Target
from labgrid.protocol import CommandProtocol, ConsoleProtocol, PowerProtocol
from pexpect import TIMEOUT

PORT = 8443
POLL_S = 1.0
STATE = "/var/lib/veilcam"
AS_CAMERA = "setpriv --reuid veilcam --regid veilcam --init-groups --inh-caps=-all"
VEILCAM = f"VEILCAM_CACHE=/opt/veilcam/models HOME={STATE} {AS_CAMERA} /opt/veilcam/venv/bin/veilcam"


class Bench:
    """One camera; `slow` is how many times longer it takes than a board does."""

    def __init__(self, target: Target, slow: float) -> None:
        self.target, self.slow = target, slow
        self.power = target.get_driver(PowerProtocol, activate=False)
        self.console = target.get_driver(ConsoleProtocol, activate=False)
        self.said = ""
        """What the console has said, as far as no shell took it."""
        self._shell: Any = None
        self._talking, self._over = threading.Lock(), threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self.address = target.get_resource("NetworkService").address
        self.url = f"https://{self.address}:{PORT}"

    def on(self) -> None:
        """Switch it on."""
        self.target.activate(self.power)
        self.target.activate(self.console)
        self.power.on()
        self._listener.start()

    def off(self) -> None:
        """Switch it off, for good."""
        if self._over.is_set():
            return
        self._over.set()
        self._listener.join()
        self.power.off()

    def _listen(self) -> None:
        """Take what the console says while nobody talks to it: QEMU stands still where nobody reads."""
        while not self._over.wait(0.02):
            with self._talking, contextlib.suppress(TIMEOUT):
                self.said += self.console.read(size=4096, timeout=0.01).decode(errors="replace")

    def cut(self) -> None:
        """Take its power away, and give it back: nobody is asked."""
        with self._talking:
            self._forget_shell()
            # labgrid leaves pipes and sockets of a QEMU that has ended to the garbage collector, which warns.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                self.power.cycle()
                gc.collect()

    def restarts(self, command: str) -> None:
        """Type a command that ends this start of the machine, and with it its shell."""
        with self._talking:
            self.target.get_driver(CommandProtocol).console.sendline(command)
        self.goes_down()

    def goes_down(self) -> None:
        """Wait until this start of the machine has ended: until then the one that ends answers."""
        with self._talking:
            self._forget_shell()
        self._until(lambda: not self._is_open(), 120, "the machine goes down")

    def _is_open(self) -> bool:
        try:
            socket.create_connection((self.address, PORT), 5 * self.slow).close()
        except OSError:
            return False
        return True

    def _until(self, holds: Callable[[], bool], within_s: float, what: str) -> None:
        end = time.monotonic() + within_s * self.slow
        while not holds():
            assert time.monotonic() < end, f"not within {within_s} s of the board's time: {what}"
            time.sleep(POLL_S)

    def _forget_shell(self) -> None:
        self._shell = None
        self.target.deactivate(self.target.get_driver(CommandProtocol, activate=False))

    def run(self, command: str, within_s: float = 30.0) -> str:
        """Return what a command prints in a root shell; raises ExecutionError where it fails."""
        if self._shell is None:
            # A line typed while U-Boot counts would stop it there.
            self._until(self._is_open, 300, "the camera's port opens")
        with self._talking:
            fresh = self._shell is None
            shell: Any = self.target.get_driver(CommandProtocol)
            if fresh:
                # What the camera shows on the console would come between a command and its answer.
                shell.run_check("systemctl stop veilcam-claim.path", timeout=30 * self.slow)
                self._shell = shell
            return "\n".join(shell.run_check(command, timeout=within_s * self.slow))

    def python(self, text: str, *words: str, within_s: float = 60.0) -> str:
        """Run a program with the camera's own Python and return what it prints."""
        self.put("/run/rig.py", text.encode())
        python = "VEILCAM_CACHE=/opt/veilcam/models /opt/veilcam/venv/bin/python3"
        return self.run(f"{python} /run/rig.py {' '.join(words)} 2>&1", within_s)

    def put(self, path: str, content: bytes) -> None:
        """Write a small file through the console."""
        encoded = base64.b64encode(content).decode()
        self.run(f": >{path}.b64")
        for at in range(0, len(encoded), 2000):
            self.run(f"printf %s {encoded[at : at + 2000]} >>{path}.b64")
        self.run(f"base64 -d {path}.b64 >{path}; rm {path}.b64")

    async def get(self, path: str) -> dict[str, Any]:
        """Return what the camera answers; raises OSError, aiohttp.ClientError, TimeoutError."""
        timeout = aiohttp.ClientTimeout(total=10 * self.slow)
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(self.url + path, ssl=trusting()) as got,
        ):
            return dict(await got.json())

    async def status(self) -> dict[str, Any]:
        """Return the camera's status."""
        return await self.get("/api/v1/status")

    async def until(
        self, holds: Callable[[dict[str, Any]], bool], within_s: float, what: str
    ) -> dict[str, Any]:
        """Return the first status that fits; raises AssertionError where none does in time."""
        end, told = time.monotonic() + within_s * self.slow, {}
        while time.monotonic() < end:
            try:
                told = await self.status()
                if holds(told):
                    return told
            except (OSError, aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(POLL_S)
        raise AssertionError(f"not within {within_s} s of the board's time: {what}; last told: {told}")

    async def until_ready(self, within_s: float = 60.0) -> dict[str, Any]:
        """Return the status once the camera serves."""
        return await self.until(lambda told: True, within_s, "the camera answers")

    async def until_shown(self, within_s: float = 60.0) -> dict[str, Any]:
        """Return the status once pictures with a verdict are shown."""
        return await self.until(lambda told: told["verdict"] != "blind", within_s, "pictures are shown")

    def slot(self) -> str:
        """Return the slot that the bootloader chose."""
        found = re.search(r"veilcam\.slot=([ab])", self.run("cat /proc/cmdline"))
        assert found is not None
        return found[1]


def trusting() -> ssl.SSLContext:
    """Return a TLS context that takes any certificate: a bench is a network of its own."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def described(path: Path) -> str:
    """Return a file's text, for a program that is run elsewhere."""
    return path.read_text(encoding="utf-8")
