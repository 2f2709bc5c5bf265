"""`/api/v1/remote`: how the camera is connected to its broker, and the certificate that it is known by.

GET  /api/v1/remote               is it connected, as whom, until when is its certificate good
POST /api/v1/remote/request       a new key, and a signing request for an authority
POST /api/v1/remote/certificate   what the authority made of it
"""

import asyncio
from http import HTTPStatus

from aiohttp import web

from firmware.access.roles import Right
from firmware.audit import Act, Audit
from firmware.errors import ConfigError, OutputError
from firmware.ports import Remote
from firmware.stream.api.body import read_object, texts
from firmware.stream.problem import Refused
from firmware.stream.who import WHO, require

LONGEST = 64 * 1024


class RemoteApi:
    """The handlers of the broker's connection."""

    def __init__(self, remote: Remote, audit: Audit) -> None:
        self._remote = remote
        self._audit = audit

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/api/v1/remote", self.show)
        app.router.add_post("/api/v1/remote/request", self.request)
        app.router.add_post("/api/v1/remote/certificate", self.install)

    async def show(self, request: web.Request) -> web.Response:
        """Say how it stands."""
        require(request, Right.SETTINGS)
        try:
            return web.json_response(await asyncio.to_thread(self._remote.status))
        except ConfigError as exc:
            raise Refused(HTTPStatus.CONFLICT, str(exc)) from exc

    async def request(self, request: web.Request) -> web.Response:
        """Make a key and a signing request."""
        require(request, Right.UPDATE)
        await self._audit.record(Act.REMOTE, request[WHO].name, {"step": "request"})
        try:
            return web.json_response({"request": await asyncio.to_thread(self._remote.request)})
        except OutputError as exc:
            raise Refused(HTTPStatus.INSUFFICIENT_STORAGE, str(exc)) from exc

    async def install(self, request: web.Request) -> web.Response:
        """Take a certificate; who is named as somebody else by it is refused."""
        require(request, Right.UPDATE)
        (pem,) = texts(await read_object(request), "certificate", longest=LONGEST)
        try:
            told = await asyncio.to_thread(self._remote.install, pem)
        except ConfigError as exc:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc)) from exc
        except OutputError as exc:
            raise Refused(HTTPStatus.INSUFFICIENT_STORAGE, str(exc)) from exc
        await self._audit.record(Act.REMOTE, request[WHO].name, {"step": "certificate", **told})
        self._remote.moved()
        return web.json_response(told)
