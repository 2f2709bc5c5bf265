"""The session cookie: for this host alone, unreadable for scripts, and sent along for our own pages alone.

Over HTTPS its name begins with `__Host-`, by which browsers keep other hosts from setting it; over plain
HTTP, which is loopback's or a proxy's, browsers would not take such a name.
"""

from http import HTTPStatus

from aiohttp import web

from firmware.stream.problem import Refused

NAME, SECURE_NAME = "veilcam", "__Host-veilcam"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def read_cookie(request: web.Request) -> str:
    """Return the token of the cookie that counts here; empty where there is none."""
    secure = request.cookies.get(SECURE_NAME, "")
    return secure or ("" if request.secure else request.cookies.get(NAME, ""))


def set_cookie(request: web.Request, answer: web.StreamResponse, token: str) -> None:
    """Give a browser its token; it forgets it when it is closed."""
    secure = own_origin(request).startswith("https://")
    name = SECURE_NAME if secure else NAME
    answer.set_cookie(name, token, path="/", secure=secure, httponly=True, samesite="Strict")


def drop_cookie(answer: web.StreamResponse) -> None:
    """Have a browser forget its token."""
    answer.del_cookie(NAME, path="/", httponly=True, samesite="Strict")
    answer.del_cookie(SECURE_NAME, path="/", secure=True, httponly=True, samesite="Strict")


def own_origin(request: web.Request) -> str:
    """Return the origin of the page that asked, which has to be ours; raises Refused."""
    origin = request.headers.get("Origin", "")
    scheme, _, authority = origin.partition("://")
    if authority != request.host or scheme not in ("https", "http") or (request.secure and scheme == "http"):
        raise Refused(HTTPStatus.FORBIDDEN, "only a page of this camera may ask for that")
    return origin


def require_own_page(request: web.Request) -> None:
    """Refuse what changes something and does not come from a page of ours (cross-site request forgery)."""
    if request.method not in SAFE:
        own_origin(request)
