"""`POST /api/v1/claim`: whoever has the code that the camera showed once becomes its owner.

They bring the public key of `veilcam owner keygen`, and the name and the password of an account, the first.
"""

import asyncio
from http import HTTPStatus

from aiohttp import web

from firmware.access.owner import AlreadyClaimed, ClaimRefused, KeyMalformed, OwnerKey, Ownership
from firmware.access.people import NotAllowed, People, new_person
from firmware.audit import Act, Audit
from firmware.stream.api.body import read_object, texts
from firmware.stream.problem import Refused
from firmware.stream.who import WHO


class Claim:
    """The handler of the claim."""

    def __init__(self, ownership: Ownership, people: People, audit: Audit) -> None:
        self._ownership = ownership
        self._people = people
        self._audit = audit

    def add_to(self, app: web.Application) -> None:
        """Add the route."""
        app.router.add_post("/api/v1/claim", self.claim)

    async def claim(self, request: web.Request) -> web.Response:
        """Take a code, a public key, a name and a password."""
        code, text, name, password = texts(await read_object(request), "code", "key", "name", "password")
        try:
            key = OwnerKey.read(text)
        except KeyMalformed as exc:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc)) from exc
        about = {"key": key.fingerprint, "comment": key.comment, "user": name}
        who = request[WHO]

        def first() -> None:
            """Record it and make the account, before the claim holds: then it can be tried again."""
            person = new_person(name, ("owner",), password)
            self._audit.write(Act.CLAIMED, who.name, about)
            self._people.put(person)

        try:
            await asyncio.to_thread(self._ownership.claim, code, key, first)
        except AlreadyClaimed as exc:
            raise Refused(HTTPStatus.CONFLICT, "this camera has an owner") from exc
        except ClaimRefused as exc:
            raise Refused(HTTPStatus.FORBIDDEN, "that is not the code that the camera showed") from exc
        except NotAllowed as exc:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc)) from exc
        self._audit.tell()
        return web.json_response({"owner": key.fingerprint, "name": name}, status=HTTPStatus.CREATED)
