"""`POST /api/v1/claim`: whoever has the code that the camera showed once becomes its owner."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from firmware.access.owner import AlreadyClaimed, ClaimRefused, KeyMalformed, OwnerKey, Ownership
from firmware.access.roles import Principal
from firmware.audit import Act, Audit
from firmware.errors import AuditUnwritable
from firmware.stream.api.body import read_object
from firmware.stream.problem import Refused
from firmware.stream.who import WHO

LONGEST_CODE = 64


class Claim:
    """The handler of the claim."""

    def __init__(self, ownership: Ownership, audit: Audit) -> None:
        self._ownership = ownership
        self._audit = audit

    def add_to(self, app: web.Application) -> None:
        """Add the route."""
        app.router.add_post("/api/v1/claim", self.claim)

    async def claim(self, request: web.Request) -> web.Response:
        """Take a code and a public key, `{"code": ..., "key": ...}`."""
        code, key = _read(await read_object(request))
        about = {"key": key.fingerprint, "comment": key.comment}
        try:
            await asyncio.to_thread(
                self._ownership.claim, code, key, lambda: self._record(request[WHO], about)
            )
        except AlreadyClaimed as exc:
            raise Refused(HTTPStatus.CONFLICT, "this camera has an owner") from exc
        except ClaimRefused as exc:
            raise Refused(HTTPStatus.FORBIDDEN, "that is not the code that the camera showed") from exc
        except AuditUnwritable as exc:
            raise Refused(HTTPStatus.INSUFFICIENT_STORAGE, str(exc)) from exc
        self._audit.tell()
        return web.json_response({"owner": key.fingerprint}, status=HTTPStatus.CREATED)

    def _record(self, who: Principal, about: Mapping[str, object]) -> None:
        self._audit.write(Act.CLAIMED, who.name, about)


def _read(told: dict[str, object]) -> tuple[str, OwnerKey]:
    code, key = told.get("code"), told.get("key")
    if len(told) != 2 or not isinstance(code, str) or not isinstance(key, str):
        raise Refused(HTTPStatus.BAD_REQUEST, 'send {"code": "...", "key": "..."}')
    if len(code) > LONGEST_CODE:
        raise Refused(HTTPStatus.BAD_REQUEST, "the code is too long")
    try:
        return code, OwnerKey.read(key)
    except KeyMalformed as exc:
        raise Refused(HTTPStatus.BAD_REQUEST, str(exc)) from exc
