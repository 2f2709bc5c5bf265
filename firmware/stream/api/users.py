"""`/api/v1/users`: the accounts, for whoever may see or change them."""

import asyncio
from http import HTTPStatus

from aiohttp import web

from firmware.access.people import NotAllowed, People, Person, hashed, new_person
from firmware.access.roles import Right
from firmware.access.sessions import Sessions
from firmware.audit import Act, Audit
from firmware.stream.api.body import read_object, texts
from firmware.stream.problem import Refused
from firmware.stream.who import require

KEYS = {"roles", "password", "reset_second_factor"}


class UsersApi:
    """The handlers of the accounts."""

    def __init__(self, people: People, sessions: Sessions, audit: Audit) -> None:
        self._people = people
        self._sessions = sessions
        self._audit = audit
        # Two changes at once could take the last owner away.
        self._turn = asyncio.Lock()

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/api/v1/users", self.show)
        app.router.add_post("/api/v1/users", self.add)
        app.router.add_patch("/api/v1/users/{name}", self.change)
        app.router.add_delete("/api/v1/users/{name}", self.remove)

    async def show(self, request: web.Request) -> web.Response:
        """Give every account."""
        require(request, Right.SEE_USERS)
        return web.json_response({"users": [self._told(person) for person in self._people.all()]})

    async def add(self, request: web.Request) -> web.Response:
        """Add an account."""
        who = require(request, Right.USERS)
        told = await read_object(request)
        roles = _roles(told.pop("roles", ["viewer"]))
        name, password = texts(told, "name", "password")
        try:
            person = await asyncio.to_thread(new_person, name, roles, password)
            async with self._turn:
                if self._people.find(name) is not None:
                    raise Refused(HTTPStatus.CONFLICT, "there is an account of that name")
                await self._audit.record(Act.USER_ADDED, who.name, {"user": name, "roles": ", ".join(roles)})
                await asyncio.to_thread(self._people.put, person)
        except NotAllowed as exc:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc)) from exc
        return web.json_response(self._told(person), status=HTTPStatus.CREATED)

    async def change(self, request: web.Request) -> web.Response:
        """Change roles, set another password, or take the second factors away; its sessions end."""
        who, name = require(request, Right.USERS), request.match_info["name"]
        told = await read_object(request)
        if not told or not told.keys() <= KEYS:
            raise Refused(HTTPStatus.BAD_REQUEST, f"send some of {', '.join(sorted(KEYS))}")
        async with self._turn:
            person = self._find(name)
            try:
                fields = await asyncio.to_thread(_changes, person, told)
                changed = person.model_copy(update=fields)
                self._require_owner_but(person, changed)
                about = {"user": name, "changed": ", ".join(sorted(told)), "roles": ", ".join(changed.roles)}
                await self._audit.record(Act.USER_CHANGED, who.name, about)
                await asyncio.to_thread(self._people.put, changed)
            except NotAllowed as exc:
                raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc)) from exc
            if told.keys() & {"password", "reset_second_factor"}:
                self._sessions.end_of(name)
        return web.json_response(self._told(changed))

    async def remove(self, request: web.Request) -> web.Response:
        """Remove an account; its sessions, and what they watch, end."""
        who, name = require(request, Right.USERS), request.match_info["name"]
        async with self._turn:
            person = self._find(name)
            self._require_owner_but(person, None)
            await self._audit.record(Act.USER_REMOVED, who.name, {"user": name})
            await asyncio.to_thread(self._people.remove, name)
            self._sessions.end_of(name)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _find(self, name: str) -> Person:
        person = self._people.find(name)
        if person is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no account of that name")
        return person

    def _require_owner_but(self, before: Person, after: Person | None) -> None:
        """Refuse to take the last owner's account away."""
        if "owner" not in before.roles or (after is not None and "owner" in after.roles):
            return
        if not any("owner" in one.roles for one in self._people.all() if one.name != before.name):
            raise Refused(HTTPStatus.CONFLICT, "the camera needs an account that is its owner's")

    def _told(self, person: Person) -> dict[str, object]:
        return {
            "name": person.name,
            "roles": list(person.roles),
            "second_factor": person.has_second,
            "seen_s": person.seen_s,
            "sessions": self._sessions.count(person.name),
        }


def _roles(told: object) -> list[str]:
    if not isinstance(told, list) or not all(isinstance(role, str) for role in told) or len(told) > 8:
        raise Refused(HTTPStatus.BAD_REQUEST, "roles: send a list of names")
    return sorted(set(told))


def _changes(person: Person, told: dict[str, object]) -> dict[str, object]:
    """Return the fields that a change sets; raises NotAllowed, Refused."""
    fields: dict[str, object] = {}
    if "roles" in told:
        fields["roles"] = tuple(_roles(told["roles"]))
    if "password" in told:
        (password,) = texts({"password": told["password"]}, "password")
        fields["password"] = hashed(person.name, password)
    if told.get("reset_second_factor") is True:
        fields |= {"totp": None, "passkeys": ()}
    return fields
