"""Debian's Firefox without a window, driven by WebDriver BiDi (W3C), which it speaks itself."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

WITHIN_S = 60
QUIET = {
    "app.normandy.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.healthreport.uploadEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "media.gmp-manager.updateEnabled": False,
}
"""What a new profile would ask the network for."""


class Firefox:
    """One page; `errors` are what it complained about."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket, self._count, self._page = socket, 0, ""
        self.errors: list[str] = []

    async def begin(self) -> None:
        """Take the window that is there."""
        await self._call("session.new", capabilities={})
        await self._call("session.subscribe", events=["log.entryAdded"])
        self._page = (await self._call("browsingContext.getTree"))["contexts"][0]["context"]

    async def goto(self, url: str) -> None:
        """Open a page, and wait until it is loaded."""
        await self._call("browsingContext.navigate", context=self._page, url=url, wait="complete")

    async def evaluate(self, expression: str) -> Any:
        """Return what an expression gives, or comes to, as JSON."""
        words = {
            "expression": f"(async () => JSON.stringify(await ({expression})))()",
            "target": {"context": self._page},
        }
        told = await self._call("script.evaluate", awaitPromise=True, **words)
        assert told["type"] == "success", told
        return json.loads(told["result"].get("value", "null"))

    async def fill(self, label: str, text: str) -> None:
        """Write into the field with a label."""
        found = f"[...document.querySelectorAll('label')].find({_with(label)})"
        await self.evaluate(f"void ({found}.control.value = {json.dumps(text)})")

    async def press(self, name: str) -> None:
        """Press a button."""
        await self.evaluate(f"void [...document.querySelectorAll('button')].find({_with(name)}).click()")

    async def shows(self, text: str) -> bool:
        """Say whether a page is loaded and shows a text; while one goes and the next comes, none is."""
        shown = f"document.readyState === 'complete' && document.body.innerText.includes({json.dumps(text)})"
        try:
            return bool(await self.evaluate(shown))
        except AssertionError:
            return False

    async def _call(self, method: str, **words: object) -> Any:
        self._count += 1
        await self._socket.send_json({"id": self._count, "method": method, "params": words})
        while True:
            told = await self._socket.receive_json(timeout=WITHIN_S)
            if told.get("method") == "log.entryAdded" and told["params"]["level"] == "error":
                self.errors.append(told["params"]["text"])
            if told.get("id") == self._count:
                assert told["type"] == "success", told
                return told["result"]


def _with(text: str) -> str:
    return f"one => one.textContent.trim().startsWith({json.dumps(text)})"


@asynccontextmanager
async def firefox(folder: Path) -> AsyncIterator[Firefox]:
    """A Firefox with a fresh profile in `folder`."""
    prefs = [f"user_pref({json.dumps(key)}, {json.dumps(value)});" for key, value in QUIET.items()]
    (folder / "user.js").write_text("\n".join(prefs), encoding="utf-8")
    words = [
        "--headless",
        "--no-remote",
        "--profile",
        str(folder),
        "--remote-debugging-port",
        "0",
        "about:blank",
    ]
    browser = await asyncio.create_subprocess_exec(
        "firefox-esr",
        *words,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "TMPDIR": str(folder)},
    )
    assert browser.stderr is not None
    try:
        async with asyncio.timeout(WITHIN_S):
            address = await _address(browser.stderr)
        emptied = asyncio.ensure_future(browser.stderr.read())
        async with ClientSession() as http, http.ws_connect(f"{address}/session") as socket:
            driven = Firefox(socket)
            await driven.begin()
            yield driven
        browser.terminate()
        await emptied
    finally:
        if browser.returncode is None:
            browser.kill()
        await browser.wait()


async def _address(said: asyncio.StreamReader) -> str:
    while line := await said.readline():
        if found := re.search(rb"WebDriver BiDi listening on (ws://\S+)", line):
            return found[1].decode()
    raise AssertionError("Firefox ended before it listened")
