"""The screen before a bench's camera: a browser that has this server's page open shows what it is told."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import cv2
from aiohttp import web

from firmware.config.model import ModelCache, default_cache
from firmware.config.portrait import portrait
from hil import clock

PAGE = Path(__file__).with_name("screen.html")
WITHIN_S = 60.0


class Screen:
    """One browser's page; `show` returns once it is drawn."""

    def __init__(self, page: str, face: bytes) -> None:
        self._page, self._face = page, face
        self._number, self._told = 0, json.dumps({"what": "nothing", "fixed": None, "number": 0})
        self._changed, self._drawn = asyncio.Condition(), -1
        self.where = ""

    async def show(self, what: str, fixed: int | None = None) -> None:
        """Show "clock" (or one that stands), "face", "nothing"; raises AssertionError if it is not drawn."""
        async with self._changed:
            self._number += 1
            self._told = json.dumps({"what": what, "fixed": fixed, "number": self._number})
            self._changed.notify_all()
            try:
                async with asyncio.timeout(WITHIN_S):
                    await self._changed.wait_for(lambda: self._drawn == self._number)
            except TimeoutError:
                raise AssertionError(
                    f"no screen shows it: open {self.where} in the browser of the bench's screen"
                ) from None

    async def page(self, _: web.Request) -> web.Response:
        """The page itself."""
        return web.Response(text=self._page, content_type="text/html")

    async def marker(self, request: web.Request) -> web.Response:
        """One corner's marker."""
        return web.Response(body=clock.marker(int(request.match_info["number"])), content_type="image/png")

    async def face(self, _: web.Request) -> web.Response:
        """The portrait that every detector must find."""
        return web.Response(body=self._face, content_type="image/png")

    async def now(self, _: web.Request) -> web.Response:
        """The suite's clock."""
        return web.json_response({"ms": now_ms()})

    async def shown(self, request: web.Request) -> web.Response:
        """The page says what it has drawn."""
        async with self._changed:
            self._drawn = int(request.match_info["number"])
            self._changed.notify_all()
        return web.Response()

    async def events(self, request: web.Request) -> web.StreamResponse:
        """What is to be shown, each time that it changes."""
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        told = ""
        with contextlib.suppress(ConnectionResetError):
            while True:
                async with self._changed:
                    await self._changed.wait_for(lambda: self._told != told)  # noqa: B023 - waited for in the loop
                    told = self._told
                await answer.write(f"data: {told}\n\n".encode())
        return answer


def _read() -> Screen:
    page = PAGE.read_text(encoding="utf-8").replace("UNIT_MS", str(clock.UNIT_MS))
    return Screen(page, bytes(cv2.imencode(".png", portrait(ModelCache(default_cache())))[1]))


def now_ms() -> float:
    """Return the clock that the screen shows and that pictures are held against."""
    return time.time() * 1000


@asynccontextmanager
async def serving(address: str, port: int = 0) -> AsyncIterator[Screen]:
    """Serve a screen's page for the length of the block."""
    screen, app = await asyncio.to_thread(_read), web.Application()
    app.router.add_get("/", screen.page)
    app.router.add_get(r"/marker/{number:[0-3]}.png", screen.marker)
    app.router.add_get("/face.png", screen.face)
    app.router.add_get("/now", screen.now)
    app.router.add_get("/events", screen.events)
    app.router.add_post(r"/shown/{number:\d{1,9}}", screen.shown)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, port)
        await site.start()
        screen.where = f"http://{address}:{runner.addresses[0][1]}/"
        yield screen
    finally:
        await runner.cleanup()
