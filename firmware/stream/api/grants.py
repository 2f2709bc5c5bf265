"""`/api/v1/grants`: ask for the raw picture, approve, renew, end."""

from http import HTTPStatus

from aiohttp import web

from firmware.access.grants import Case, GrantRefused, Grants, NoSuchGrant
from firmware.access.roles import Principal, Right
from firmware.stream.api.body import read_object, texts
from firmware.stream.problem import Refused
from firmware.stream.who import WHO, require, require_session


class GrantsApi:
    """The handlers of grants."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/api/v1/grants", self.show)
        app.router.add_post("/api/v1/grants", self.ask)
        app.router.add_post("/api/v1/grants/{id}/approve", self.approve)
        app.router.add_post("/api/v1/grants/{id}/renew", self.renew)
        app.router.add_delete("/api/v1/grants/{id}", self.end)

    async def show(self, request: web.Request) -> web.Response:
        """Give what is open and what ended lately: all of it, or one's own to whoever may ask alone."""
        who = request[WHO]
        every = Right.SEE_GRANTS in who.rights
        if not every:
            require(request, Right.ASK)
        cases = [case for case in self._grants.cases() if every or case.grant.holder == who.name]
        return web.json_response({"grants": [self._told(case) for case in cases]})

    async def ask(self, request: web.Request) -> web.Response:
        """Take a purpose and minutes; the grant is bound to this log-in."""
        who, session = require(request, Right.ASK), require_session(request)
        told = await read_object(request)
        minutes = _minutes(told)
        (purpose,) = texts(told, "purpose", longest=400)
        try:
            case = await self._grants.ask(who.name, session.id, purpose.strip(), minutes)
        except GrantRefused as exc:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc)) from exc
        return web.json_response(self._told(case), status=HTTPStatus.CREATED)

    async def approve(self, request: web.Request) -> web.Response:
        """Approve what somebody else asks for."""
        who = require(request, Right.APPROVE)
        try:
            case = await self._grants.approve(who.name, request.match_info["id"])
        except GrantRefused as exc:
            raise Refused(HTTPStatus.FORBIDDEN, str(exc)) from exc
        except NoSuchGrant as exc:
            raise _none() from exc
        return web.json_response(self._told(case))

    async def renew(self, request: web.Request) -> web.Response:
        """Ask for more minutes, of one's own live grant."""
        who = require(request, Right.ASK)
        told = await read_object(request)
        minutes = _minutes(told)
        texts(told)
        try:
            case = await self._grants.renew(who.name, request.match_info["id"], minutes)
        except GrantRefused as exc:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc)) from exc
        except NoSuchGrant as exc:
            raise _none() from exc
        return web.json_response(self._told(case))

    async def end(self, request: web.Request) -> web.Response:
        """End one's own grant or request, or revoke or deny somebody's."""
        who, name = request[WHO], request.match_info["id"]
        mine = any(case.grant.id == name and case.grant.holder == who.name for case in self._grants.cases())
        if not mine:
            require(request, Right.REVOKE)
        try:
            case = await self._grants.end(name, who.name, _why(who, mine=mine))
        except NoSuchGrant as exc:
            raise _none() from exc
        return web.json_response(self._told(case))

    def _told(self, case: Case) -> dict[str, object]:
        grant = case.grant
        return {
            "id": grant.id,
            "state": case.state.value,
            "holder": grant.holder,
            "approver": grant.approver,
            "purpose": grant.purpose,
            "minutes": case.minutes,
            "left_s": round(self._grants.left_s(case), 1),
            "renewal_minutes": case.renewal,
            "why": case.why,
        }


def _why(who: Principal, *, mine: bool) -> str:
    return "given back" if mine else f"revoked by {who.name}"


def _minutes(told: dict[str, object]) -> int:
    minutes = told.pop("minutes", None)
    if type(minutes) is not int:
        raise Refused(HTTPStatus.BAD_REQUEST, "minutes: send a whole number")
    return minutes


def _none() -> Refused:
    return Refused(HTTPStatus.NOT_FOUND, "there is no open grant of that id")
