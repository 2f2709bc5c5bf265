"""`/api/v1/me`: what somebody who is logged in changes about their own account."""

import asyncio
import io
from http import HTTPStatus

import segno
from aiohttp import web

from firmware.access.passkeys import PasskeyRefused, Passkeys
from firmware.access.people import NotAllowed, People, Person, fits_code, hashed, new_secret, uri_of
from firmware.access.sessions import Session, Sessions
from firmware.access.throttle import Failures, Throttled
from firmware.audit import Act, Audit
from firmware.ports import Clock
from firmware.stream.api.body import read_object, texts
from firmware.stream.api.session import place_of
from firmware.stream.problem import Refused
from firmware.stream.who import require_session


class MeApi:
    """The handlers of somebody's own password, authenticator app and passkeys."""

    def __init__(
        self, people: People, sessions: Sessions, passkeys: Passkeys, audit: Audit, clock: Clock, device: str
    ) -> None:
        self._people = people
        self._sessions = sessions
        self._passkeys = passkeys
        self._audit = audit
        self._clock = clock
        self._device = device
        self._failures = Failures(clock)

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/api/v1/me", self.show)
        app.router.add_put("/api/v1/me/password", self.set_password)
        app.router.add_post("/api/v1/me/totp", self.begin_totp)
        app.router.add_put("/api/v1/me/totp", self.confirm_totp)
        app.router.add_post("/api/v1/me/passkeys/options", self.begin_passkey)
        app.router.add_post("/api/v1/me/passkeys", self.add_passkey)
        app.router.add_delete("/api/v1/me/passkeys/{id}", self.drop_passkey)

    async def show(self, request: web.Request) -> web.Response:
        """Say what the account has."""
        _, person = self._who(request)
        return web.json_response(
            {
                "name": person.name,
                "roles": list(person.roles),
                "totp": person.totp is not None,
                "passkeys": [{"id": key.id, "name": key.name, "host": key.host} for key in person.passkeys],
            }
        )

    async def set_password(self, request: web.Request) -> web.Response:
        """Change the password, by the old one; every other session of the account ends."""
        session, person = self._who(request)
        old, new = texts(await read_object(request), "old", "new")
        await self._require_password(person, old)
        try:
            fresh = await asyncio.to_thread(hashed, person.name, new)
        except NotAllowed as exc:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc)) from exc
        await self._changed(person, "password")
        await asyncio.to_thread(self._people.change, person.name, lambda now: {"password": fresh})
        self._sessions.end_of(person.name, but=session.id)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def begin_totp(self, request: web.Request) -> web.Response:
        """Give a secret for an authenticator app, as text and as a QR code (SVG); `confirm_totp` sets it."""
        session, person = self._require_strong(request)
        session.pending = new_secret()
        uri = uri_of(session.pending, person.name, self._device)
        return web.json_response({"secret": session.pending, "uri": uri, "qr": _svg(uri)})

    async def confirm_totp(self, request: web.Request) -> web.Response:
        """Take the first code of the app: from now on one is asked for, and this session has given it."""
        session, person = self._require_strong(request)
        (code,) = texts(await read_object(request), "code")
        secret = session.pending
        if secret is None or not fits_code(secret, code.replace(" ", ""), self._clock.wall_ns()):
            raise Refused(HTTPStatus.FORBIDDEN, "that is not the code of the secret that you were given")
        await self._changed(person, "authenticator app")
        await asyncio.to_thread(self._people.change, person.name, lambda now: {"totp": secret})
        await asyncio.to_thread(self._people.takes_code, person.name, code.replace(" ", ""))
        session.pending, session.strong = None, True
        self._sessions.end_of(person.name, but=session.id)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def begin_passkey(self, request: web.Request) -> web.Response:
        """Give what a browser needs to make a passkey."""
        _, person = self._require_strong(request)
        try:
            options = self._passkeys.registration(person, place_of(request))
        except PasskeyRefused as exc:
            raise Refused(HTTPStatus.CONFLICT, str(exc)) from exc
        return web.Response(text=options, content_type="application/json")

    async def add_passkey(self, request: web.Request) -> web.Response:
        """Take a browser's answer, `{"name": ..., "credential": {...}}`."""
        session, person = self._require_strong(request)
        told, place = await read_object(request), place_of(request)
        credential = told.pop("credential", None)
        (name,) = texts(told, optional=("name",))
        if not isinstance(credential, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, 'send {"name": "...", "credential": {...}}')
        await self._changed(person, "passkey")
        try:
            key = await asyncio.to_thread(self._passkeys.registered, person, place, name, credential)
        except PasskeyRefused as exc:
            raise Refused(HTTPStatus.FORBIDDEN, str(exc)) from exc
        session.strong = True
        return web.json_response({"id": key.id, "name": key.name}, status=HTTPStatus.CREATED)

    async def drop_passkey(self, request: web.Request) -> web.Response:
        """Remove a passkey; the last second factor of an account that needs one stays."""
        _, person = self._require_strong(request)
        rest = tuple(key for key in person.passkeys if key.id != request.match_info["id"])
        if len(rest) == len(person.passkeys):
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such passkey")
        if person.is_delicate and person.totp is None and not rest:
            raise Refused(HTTPStatus.CONFLICT, "your role needs a second factor: set up another one first")
        await self._changed(person, "passkey removed")
        await asyncio.to_thread(self._people.change, person.name, lambda now: {"passkeys": rest})
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _who(self, request: web.Request) -> tuple[Session, Person]:
        session = require_session(request)
        person = self._people.find(session.name)
        if person is None:
            raise Refused(HTTPStatus.UNAUTHORIZED, "log in first")
        return session, person

    def _require_strong(self, request: web.Request) -> tuple[Session, Person]:
        """Return who that is, if they gave their second factor, or have none yet; raises Refused."""
        session, person = self._who(request)
        if person.has_second and not session.strong:
            raise Refused(HTTPStatus.FORBIDDEN, "log in with your second factor first")
        return session, person

    async def _require_password(self, person: Person, password: str) -> None:
        try:
            self._failures.require(person.name)
        except Throttled as exc:
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, str(exc)) from exc
        self._failures.spend(person.name)
        if not await asyncio.to_thread(self._people.fits_password, person.name, password):
            raise Refused(HTTPStatus.FORBIDDEN, "that is not your password")
        self._failures.give_back(person.name)

    async def _changed(self, person: Person, what: str) -> None:
        await self._audit.record(Act.USER_CHANGED, person.name, {"user": person.name, "changed": what})


def _svg(uri: str) -> str:
    out = io.BytesIO()
    segno.make(uri, error="m", micro=False).save(out, kind="svg", scale=5, border=4, xmldecl=False)
    return out.getvalue().decode()
