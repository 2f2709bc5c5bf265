"""The gate that every request comes through: who makes it is known, and a refusal is recorded."""

import logging
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from firmware.access.roles import ANYBODY, Principal
from firmware.audit import Audit
from firmware.errors import AuditUnwritable
from firmware.stream.problem import Refused
from firmware.stream.remote import client_address
from firmware.stream.who import WHO

logger = logging.getLogger(__name__)

RECORDED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.MISDIRECTED_REQUEST})
SENSITIVE = "raw"
"""Whoever asks for an address with this word in it, and is told that there is none, is recorded, too."""


class Gate:
    """Two middlewares: `record` goes before whatever may refuse, `know` before whatever asks who it is."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    @property
    def know(self) -> Middleware:
        """Find out who makes a request."""

        @web.middleware
        async def known(request: web.Request, handler: Handler) -> web.StreamResponse:
            request[WHO] = await self._principal(request)
            return await handler(request)

        return known

    @property
    def record(self) -> Middleware:
        """Record refusals."""

        @web.middleware
        async def recorded(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await handler(request)
            except Refused as exc:
                if exc.status in RECORDED:
                    await self._denied(request, exc.status, str(exc))
                raise
            except web.HTTPClientError as exc:
                if SENSITIVE in request.path.lower():
                    await self._denied(request, exc.status, exc.reason)
                raise

        return recorded

    async def _principal(self, request: web.Request) -> Principal:
        return ANYBODY

    async def _denied(self, request: web.Request, status: int, why: str) -> None:
        who = request.get(WHO, ANYBODY)
        resource = request.match_info.route.resource
        # The pattern and not the path: what stands in a path may be somebody's secret.
        where = resource.canonical if resource is not None else "(none)"
        about = {"method": request.method, "where": where, "status": status, "why": why}
        try:
            await self._audit.denied(who.name, {**about, "from": client_address(request)})
        except AuditUnwritable as exc:
            # It was refused anyway: there is nothing that could still be kept from happening.
            logger.warning("a refusal is not recorded: %s", exc)
