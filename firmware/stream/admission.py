"""Which Host and Origin a request may carry, and the headers that every answer gets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from firmware.stream.problem import Refused

ORIGIN = web.RequestKey("origin", str)
"""Set on a request whose Origin may read the answer."""
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "veilcam",
}

_CORS: Mapping[str, str] = {
    # By the Fetch standard `*` does not cover Authorization.
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Allow-Methods": "POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Accept-Patch",
    "Access-Control-Max-Age": "600",
}


@dataclass(frozen=True, slots=True)
class Admission:
    """Names and origins under which this camera answers; `loopback` says where it listens."""

    loopback: bool
    names: frozenset[str]
    origins: frozenset[str]

    def host(self, authority: str) -> bool:
        """Say whether a Host header is one of ours; a rebound DNS name is not (loopback listens only)."""
        return not self.loopback or hostname(authority) in LOOPBACK_NAMES | self.names

    def origin(self, origin: str, authority: str) -> bool:
        """Say whether a page of that origin may open sessions: ours, loopback's or a configured one."""
        if "*" in self.origins or origin in self.origins:
            return True
        # "null" and file pages have no authority and match nothing below.
        named = origin.partition("://")[2]
        if named == authority:
            return True
        return self.loopback and hostname(named) in LOOPBACK_NAMES | self.names


def hostname(authority: str) -> str:
    """Return the name or address in `HOST:PORT`, lower case, without brackets."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    return authority.partition(":")[0].lower()


def admit(told: Callable[[], Admission]) -> Middleware:
    """Return the middleware that applies the rules of the moment and, for WHEP, answers CORS."""

    @web.middleware
    async def admitted(request: web.Request, handler: Handler) -> web.StreamResponse:
        rules = told()
        if not rules.host(request.host):
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "this camera is not known by that host name")
        origin = request.headers.get("Origin")
        if origin is None:
            return await handler(request)
        if not rules.origin(origin, request.host):
            raise Refused(HTTPStatus.FORBIDDEN, "pages of that origin may not use this camera")
        request[ORIGIN] = origin
        return await handler(request)

    return admitted


async def add_security_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the security headers to every answer, errors included."""
    response.headers.update(SECURITY_HEADERS)
    if request.path.startswith("/whep/"):
        _add_cors(request, response)
    if not request.path.startswith("/static/"):
        response.headers.setdefault("Cache-Control", "no-store")


def _add_cors(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_CORS)
    response.headers["Vary"] = "Origin"
    if ORIGIN in request:
        response.headers["Access-Control-Allow-Origin"] = request[ORIGIN]
