"""`/api/v1/update`: how updates stand, and the command to take one; every try and its end is recorded."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web

from firmware.access.roles import Principal, Right
from firmware.access.statement import LONGEST
from firmware.audit import Act, Audit
from firmware.errors import ConfigError, UpdateError
from firmware.ports import Updates
from firmware.stream.api.body import read_object, texts
from firmware.stream.problem import Refused
from firmware.stream.who import require

LONGEST_PLACE = 1024
FAILS = (UpdateError, ConfigError)
"""The update is refused, or the device's own records or hardware do not let it take one."""


class UpdateApi:
    """The handlers of updates."""

    def __init__(self, updates: Updates, audit: Audit) -> None:
        self._updates = updates
        self._audit = audit

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/api/v1/update", self.show)
        app.router.add_post("/api/v1/update", self.install)
        app.router.add_post("/api/v1/update/{step:confirm|rollback}", self.step)

    async def show(self, request: web.Request) -> web.Response:
        """Say what runs and what is under way."""
        require(request, Right.UPDATE)
        try:
            return web.json_response(await asyncio.to_thread(self._updates.status))
        except FAILS as exc:
            raise Refused(HTTPStatus.CONFLICT, str(exc)) from exc

    async def install(self, request: web.Request) -> web.Response:
        """Take a bundle: an https address; a file of the camera's own from its console alone."""
        who = require(request, Right.UPDATE)
        told = await read_object(request)
        bundle, statement = texts(
            told, "bundle", optional=("statement",), longest=max(LONGEST, LONGEST_PLACE)
        )
        if who.session is not None and not bundle.startswith("https://"):
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "name the update's address, https://...")
        about = {"step": "install", "bundle": bundle[:LONGEST_PLACE]}
        await self._audit.record(Act.UPDATE_BEGUN, who.name, about)
        return await self._ended(who, "install", lambda: self._updates.install(bundle, statement or None))

    async def step(self, request: web.Request) -> web.Response:
        """Keep what is on trial, or give it up."""
        who, step = require(request, Right.UPDATE), request.match_info["step"]
        await self._audit.record(Act.UPDATE_BEGUN, who.name, {"step": step})
        if step == "confirm":
            return await self._ended(who, step, self._updates.confirm)
        return await self._ended(who, step, lambda: self._updates.rollback(f"given up by {who.name}"))

    async def _ended(self, who: Principal, step: str, act: Callable[[], dict[str, object]]) -> web.Response:
        """Do it, and record how it ended."""
        try:
            done = await asyncio.to_thread(act)
        except FAILS as exc:
            await self._audit.record(Act.UPDATE_ENDED, who.name, {"step": step, "refused": str(exc)})
            raise Refused(HTTPStatus.CONFLICT, str(exc)) from exc
        about = {key: done[key] for key in ("phase", "version", "counter")}
        await self._audit.record(Act.UPDATE_ENDED, who.name, {"step": step, **about})
        return web.json_response(done)
