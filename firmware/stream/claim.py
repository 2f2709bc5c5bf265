"""`POST /api/v1/claim`: whoever has the code that the camera showed once becomes its owner."""

import asyncio
import json
from http import HTTPStatus

from aiohttp import web

from firmware.access.owner import AlreadyClaimed, ClaimRefused, KeyMalformed, OwnerKey, Ownership
from firmware.stream.problem import Refused
from firmware.stream.whep import read_body

JSON = "application/json"
KEYS = {"code", "key"}
LONGEST_CODE = 64


class Claim:
    """The handler of the claim."""

    def __init__(self, ownership: Ownership) -> None:
        self._ownership = ownership

    def add_to(self, app: web.Application) -> None:
        """Add the route."""
        app.router.add_post("/api/v1/claim", self.claim)

    async def claim(self, request: web.Request) -> web.Response:
        """Take a code and a public key, `{"code": ..., "key": ...}`."""
        code, key = _read(await read_body(request, JSON))
        try:
            await asyncio.to_thread(self._ownership.claim, code, key)
        except AlreadyClaimed as exc:
            raise Refused(HTTPStatus.CONFLICT, "this camera has an owner") from exc
        except ClaimRefused as exc:
            raise Refused(HTTPStatus.FORBIDDEN, "that is not the code that the camera showed") from exc
        return web.json_response({"owner": key.fingerprint}, status=HTTPStatus.CREATED)


def _read(body: str) -> tuple[str, OwnerKey]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise Refused(HTTPStatus.BAD_REQUEST, "the body is not JSON") from exc
    if not isinstance(told, dict) or set(told) != KEYS or not all(isinstance(v, str) for v in told.values()):
        raise Refused(HTTPStatus.BAD_REQUEST, 'send {"code": "...", "key": "..."}')
    if len(told["code"]) > LONGEST_CODE:
        raise Refused(HTTPStatus.BAD_REQUEST, "the code is too long")
    try:
        return told["code"], OwnerKey.read(told["key"])
    except KeyMalformed as exc:
        raise Refused(HTTPStatus.BAD_REQUEST, str(exc)) from exc
