"""Reads a request's body: bounded in time and in bytes, also in those that come out of a compressed one."""

import asyncio
import zlib
from http import HTTPStatus

from aiohttp import web

from firmware.stream.problem import Refused

MAX_BODY = 64 * 1024
"""Bytes of any request's body, as it is sent and as it is meant."""
READ_S = 10.0
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


async def read_text(request: web.Request) -> str:
    """Read a body as text, within `READ_S` seconds; raises Refused."""
    try:
        async with asyncio.timeout(READ_S):
            body = await request.read()
    except TimeoutError as exc:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time") from exc
    except (web.RequestPayloadError, OSError) as exc:
        # Nobody is there any more, or what is there is no body: neither is a failure of the camera.
        raise Refused(HTTPStatus.BAD_REQUEST, "the body is cut off or malformed") from exc
    try:
        return _decoded(body, request.headers.get("Content-Encoding", "identity").strip().lower()).decode()
    except UnicodeDecodeError as exc:
        raise Refused(HTTPStatus.BAD_REQUEST, "the body is not UTF-8 text") from exc


def _decoded(body: bytes, encoding: str) -> bytes:
    """Undo a content encoding (RFC 9110 section 8.4)."""
    if encoding in ("", "identity"):
        return body
    if encoding not in _WINDOWS:
        known = {"Accept-Encoding": "gzip, deflate, identity"}
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the body plain, or as gzip or deflate", known)
    unpacking = zlib.decompressobj(_WINDOWS[encoding])
    try:
        meant = unpacking.decompress(body, MAX_BODY + 1)
    except zlib.error as exc:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the body is not {encoding}, as its head says") from exc
    if len(meant) > MAX_BODY:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large")
    if not unpacking.eof or unpacking.unused_data:
        raise Refused(
            HTTPStatus.BAD_REQUEST, f"the body is {encoding} that is cut off, or goes on after its end"
        )
    return meant
