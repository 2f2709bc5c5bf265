"""A camera on a bench, as its tests see it: power, console, shell and network, whichever the bench has."""

import asyncio
import base64
import contextlib
import re
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from labgrid import Target
from labgrid.exceptions import NoDriverFoundError
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
        self.url = f"https://{target.get_resource('NetworkService').address}:{PORT}"

    def on(self) -> None:
        """Switch it on."""
        self.target.activate(self.power)
        self.target.activate(self.console)
        self.power.on()

    def listen(self) -> None:
        """Take what the console says; a machine whose console nobody reads stands still."""
        with contextlib.suppress(TIMEOUT):
            while True:
                self.said += self.console.read(size=4096, timeout=0.05).decode(errors="replace")

    def cut(self) -> None:
        """Take its power away, and give it back: nobody is asked."""
        if self.shell_is_there:
            self.target.deactivate(self.target.get_driver(CommandProtocol, activate=False))
        self.power.cycle()

    @property
    def shell_is_there(self) -> bool:
        """Whether a shell of this start is open."""
        try:
            return self.target.get_active_driver(CommandProtocol) is not None
        except NoDriverFoundError:
            return False

    @property
    def shell(self) -> Any:
        """A root shell of this start; waits for it."""
        return self.target.get_driver(CommandProtocol)

    def forget_shell(self) -> None:
        """Take note that the machine restarts: its shell goes."""
        self.target.deactivate(self.shell)

    def run(self, command: str, within_s: float = 30.0) -> str:
        """Return what a command prints in the shell; raises ExecutionError where it fails."""
        return "\n".join(self.shell.run_check(command, timeout=within_s * self.slow))

    def python(self, text: str, *words: str, within_s: float = 60.0) -> str:
        """Run a program with the camera's own Python and return what it prints."""
        self.put("/run/rig.py", text.encode())
        return self.run(f"/opt/veilcam/venv/bin/python3 /run/rig.py {' '.join(words)} 2>&1", within_s)

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
            self.listen()
            try:
                told = await self.status()
                if holds(told):
                    return told
            except (OSError, aiohttp.ClientError, TimeoutError):
                pass
            self.listen()
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
