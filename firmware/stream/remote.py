"""Whose request it is: the address at the other end, or the one that a trusted proxy states.

Whoever forwards requests from this very machine would otherwise make everybody look like loopback, to whom
the metrics are open. What says that it was forwarded and comes from nobody we trust is nobody's we know.
"""

from collections.abc import Callable
from http import HTTPStatus
from ipaddress import ip_address

from aiohttp import web

from firmware.stream.problem import Refused

PROXIES = web.AppKey[Callable[[], frozenset[str]]]("proxies")
"""Gives the addresses that may state whom they forward for."""

BELIEVED = "X-Forwarded-For"
FORWARDED = ("Forwarded", "X-Real-IP", "Via")
"""The one header in which a trusted proxy is believed, and others that say a request was forwarded."""

LONGEST = 512
MOST_HOPS = 16

UNKNOWN = "forwarded"
"""Stands for whoever came through a proxy that is not trusted; it is no address, and so nobody's."""


def client_address(request: web.Request) -> str:
    """Return the address of whoever asked.

    Raises:
        Refused: a trusted proxy states something that is no list of addresses.
    """
    peer, trusted = request.remote or "", request.app[PROXIES]()
    stated = ",".join(request.headers.getall(BELIEVED, [])) if peer in trusted else ""
    if not stated:
        said = FORWARDED if peer in trusted else (BELIEVED, *FORWARDED)
        return UNKNOWN if any(name in request.headers for name in said) else peer
    hops = [hop.strip() for hop in stated.split(",")]
    if len(stated) > LONGEST or len(hops) > MOST_HOPS or not all(map(_is_address, hops)):
        raise Refused(HTTPStatus.BAD_REQUEST, "X-Forwarded-For is no list of addresses")
    # The nearest one that is no proxy of ours: what stands before it anybody could have written.
    return next((hop for hop in reversed(hops) if hop not in trusted), hops[0])


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
