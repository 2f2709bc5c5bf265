"""The gate that every request comes through: who makes it is known, and a refusal is recorded."""

import logging
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from firmware.access.roles import ANYBODY
from firmware.access.sessions import Sessions
from firmware.audit import Audit
from firmware.errors import AuditUnwritable
from firmware.stream.cookie import read_cookie, require_own_page
from firmware.stream.problem import Refused
from firmware.stream.remote import client_address
from firmware.stream.who import SESSION, TRIED, WHO

logger = logging.getLogger(__name__)

RECORDED = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.MISDIRECTED_REQUEST,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
SENSITIVE = "raw"
"""Whoever asks for an address with this word in it, and is told that there is none, is recorded, too."""


class Gate:
    """Two middlewares: `record` goes before whatever may refuse, `know` before whatever asks who it is."""

    def __init__(self, audit: Audit, sessions: Sessions) -> None:
        self._audit = audit
        self._sessions = sessions

    @property
    def know(self) -> Middleware:
        """Find out who makes a request."""

        @web.middleware
        async def known(request: web.Request, handler: Handler) -> web.StreamResponse:
            session = self._sessions.of(_token(request))
            if session is not None:
                request[SESSION] = session
            request[WHO] = self._sessions.principal(session)
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

    async def _denied(self, request: web.Request, status: int, why: str) -> None:
        who = request.get(WHO, ANYBODY)
        resource = request.match_info.route.resource
        # The pattern and not the path: what stands in a path may be somebody's secret.
        where = resource.canonical if resource is not None else "(none)"
        tried = {"tried": request[TRIED]} if TRIED in request else {}
        about = tried | {"method": request.method, "where": where, "status": status, "why": why}
        try:
            await self._audit.denied(who.name, {**about, "from": client_address(request)})
        except AuditUnwritable as exc:
            # It was refused anyway: there is nothing that could still be kept from happening.
            logger.warning("a refusal is not recorded: %s", exc)


def _token(request: web.Request) -> str:
    """Return the token that a request carries, `Authorization: Bearer` before a cookie; raises Refused."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    cookie = read_cookie(request)
    if cookie:
        # A browser sends cookies along by itself, whoever's page has asked for it.
        require_own_page(request)
    return cookie
