"""WHEP (draft-ietf-wish-whep, in the manner of RFC 9725): one POST opens a session, DELETE ends it."""

import asyncio
from http import HTTPStatus
from typing import Generic, Protocol

from aiohttp import web

from firmware.core.frames import V
from firmware.stream.body import READ_S, read_text
from firmware.stream.feed import Feed
from firmware.stream.offer import read_fragment
from firmware.stream.problem import Refused
from firmware.stream.remote import client_address
from firmware.stream.sdp import OfferMalformed, OfferUnacceptable
from firmware.stream.session import FragmentRefused, NoAddress, Session
from firmware.stream.viewers import TooManyViewers, Viewers

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
RETRY_AFTER_S = "10"


class Admits(Protocol[V]):
    """Says who may open a session of a rendition, and who may touch one."""

    def admit(self, request: web.Request) -> Feed[V]:
        """Return what whoever asks may see; raises Refused."""
        ...

    def require_own(self, request: web.Request, session: Session[V]) -> None:
        """Raise Refused where a session is somebody else's."""
        ...


class Whep(Generic[V]):
    """The handlers of `/whep/RENDITION` and of its sessions."""

    def __init__(self, rendition: str, viewers: Viewers[V], admits: Admits[V]) -> None:
        self._path = f"/whep/{rendition}"
        self._viewers: Viewers[V] = viewers
        self._admits: Admits[V] = admits

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_route("OPTIONS", self._path, options)
        app.router.add_route("OPTIONS", f"{self._path}/{{session}}", options)
        app.router.add_post(self._path, self.open)
        app.router.add_patch(f"{self._path}/{{session}}", self.trickle)
        app.router.add_delete(f"{self._path}/{{session}}", self.close)

    async def open(self, request: web.Request) -> web.Response:
        """Open a session for an offer, with or without candidates; the answer holds all of ours."""
        feed = self._admits.admit(request)
        require_accepts(request)
        offer = await read_body(request, SDP)
        try:
            session, answer = await self._viewers.open(offer, client_address(request), feed)
        except OfferMalformed as exc:
            raise Refused(HTTPStatus.BAD_REQUEST, str(exc)) from exc
        except OfferUnacceptable as exc:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc)) from exc
        except TooManyViewers as exc:
            raise _busy("the camera has as many viewers as it can serve; try again") from exc
        except (NoAddress, TimeoutError) as exc:
            raise _busy("the camera has no network address to offer right now") from exc
        headers = {
            "Location": f"{self._path}/{session.id}",
            "ETag": session.etag,
            "Accept-Patch": FRAGMENT,
        }
        return web.Response(status=HTTPStatus.CREATED, text=answer, content_type=SDP, headers=headers)

    async def trickle(self, request: web.Request) -> web.Response:
        """Take a viewer's later candidates; If-Match may be left out, as players do."""
        session = self._find(request)
        if request.headers.get("If-Match", "*") not in ("*", session.etag):
            raise Refused(HTTPStatus.PRECONDITION_FAILED, "the session has another entity tag")
        body = await read_body(request, FRAGMENT)
        try:
            async with asyncio.timeout(READ_S):
                await session.trickle(read_fragment(body))
        except OfferMalformed as exc:
            raise Refused(HTTPStatus.BAD_REQUEST, str(exc)) from exc
        except FragmentRefused as exc:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc)) from exc
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def close(self, request: web.Request) -> web.Response:
        """End a session."""
        await self._viewers.end(self._find(request).id)
        return web.Response(status=HTTPStatus.OK)

    def _find(self, request: web.Request) -> Session[V]:
        # Before it is said whether there is one: that is nobody else's business.
        self._admits.admit(request)
        session: Session[V] | None = self._viewers.find(request.match_info["session"])
        if session is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such session")
        self._admits.require_own(request, session)
        return session


async def options(request: web.Request) -> web.Response:
    """Answer a preflight and say what may be posted."""
    headers = {"Accept-Post": SDP, "Accept-Patch": FRAGMENT}
    return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)


def _busy(detail: str) -> Refused:
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": RETRY_AFTER_S})


def require_accepts(request: web.Request) -> None:
    """Refuse a client that cannot read an SDP answer (RFC 9110 section 12.5.1)."""
    ranges = {
        part.partition(";")[0].strip().lower() for part in request.headers.get("Accept", "*/*").split(",")
    }
    if not ranges & {SDP, "application/*", "*/*"}:
        raise Refused(HTTPStatus.NOT_ACCEPTABLE, f"the answer is {SDP}")


async def read_body(request: web.Request, media_type: str) -> str:
    """Read a bounded body of the one media type that fits, within a time."""
    if request.content_type != media_type:
        accept = "Accept-Patch" if media_type == FRAGMENT else "Accept-Post"
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {media_type}", {accept: media_type})
    return await read_text(request)
