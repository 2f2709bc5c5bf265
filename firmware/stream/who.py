"""Who makes a request, and what they may do."""

from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from firmware.access.roles import ANYBODY, Principal, Right
from firmware.access.sessions import Session
from firmware.stream.problem import Refused

WHO = web.RequestKey("who", Principal)
SESSION = web.RequestKey("session", Session)
"""The log-in that a request is made in, where there is one."""
TRIED = web.RequestKey("tried", str)
"""The account that somebody failed to log in to; for the record alone."""


def always(principal: Principal) -> Middleware:
    """Return the middleware by which every request is made by one principal."""

    @web.middleware
    async def known(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[WHO] = principal
        return await handler(request)

    return known


def require(request: web.Request, right: Right) -> Principal:
    """Return who makes a request, if they have a right; raises Refused: 401 for nobody we know, else 403."""
    who = request[WHO]
    if right in who.rights:
        return who
    if who == ANYBODY:
        raise Refused(HTTPStatus.UNAUTHORIZED, "log in first", {"WWW-Authenticate": "Bearer"})
    raise Refused(HTTPStatus.FORBIDDEN, f"this needs the right to {right}")


def require_session(request: web.Request) -> Session:
    """Return the log-in that a request is made in; raises Refused."""
    session: Session | None = request.get(SESSION)
    if session is None:
        raise Refused(HTTPStatus.UNAUTHORIZED, "log in first", {"WWW-Authenticate": "Bearer"})
    return session
