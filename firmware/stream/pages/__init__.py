"""The web pages: drawn here, everything on them is ours and comes from here.

Scripts send forms to the interface for programs, so that a page can do nothing that a program could not.
"""

import asyncio
import datetime as dt
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from firmware.access.grants import Case, Grants, State
from firmware.access.owner import Ownership
from firmware.access.people import People, Person
from firmware.access.roles import ROLES, Principal, Right
from firmware.access.sessions import Sessions
from firmware.audit import Act, Audit
from firmware.stream.api.audit import read_filter, select
from firmware.stream.options import StreamOptions
from firmware.stream.who import SESSION, WHO, require, require_session

FOLDER = Path(__file__).resolve().parent
TEMPLATES = FOLDER / "templates"
TYPES: Mapping[str, str] = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PAGE = 100
"""Entries of the record on one page."""


@dataclass(frozen=True, slots=True)
class Place:
    """A page in the navigation, for whoever has one of these rights; for everybody where there are none."""

    path: str
    name: str
    rights: frozenset[Right] = frozenset()


PLACES = (
    Place("/", "Live"),
    Place("/grants", "Raw picture", frozenset({Right.ASK, Right.SEE_GRANTS})),
    Place("/users", "Users", frozenset({Right.SEE_USERS})),
    Place("/audit", "Record", frozenset({Right.AUDIT})),
)
ACCOUNT = Place("/account", "Account")


@dataclass(frozen=True, slots=True)
class Facts:
    """What pages are drawn from."""

    options: StreamOptions
    ownership: Ownership
    people: People
    sessions: Sessions
    grants: Grants
    audit: Audit
    raw_viewers: Sized


class Pages:
    """The handlers of the pages, `/static/…` and the OpenAPI file; files are read once, at the start."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        drawing = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            auto_reload=False,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates: dict[str, Template] = {
            path.stem: drawing.get_template(path.name) for path in TEMPLATES.iterdir()
        }
        self._openapi = (FOLDER.parent / "openapi.json").read_text(encoding="utf-8")
        self._files = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in TYPES}

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/", self.live)
        app.router.add_get("/raw", self.raw)
        app.router.add_get("/privacy", self.privacy)
        app.router.add_get("/login", self.login)
        app.router.add_get("/claim", self.claim)
        app.router.add_get("/account", self.account)
        app.router.add_get("/grants", self.grants)
        app.router.add_get("/users", self.users)
        app.router.add_get("/audit", self.audit)
        app.router.add_get("/static/{name}", self.file)
        app.router.add_get("/api/v1/openapi.json", self.openapi)

    async def live(self, request: web.Request) -> web.Response:
        """Give the viewer page, to whoever may watch."""
        if self._facts.options.settings().viewing != "open":
            self._require(request, Right.WATCH)
        return self._draw(request, "viewer", raw=False)

    async def raw(self, request: web.Request) -> web.Response:
        """Give the viewer page of the raw picture, to whoever holds a live grant."""
        self._require(request, Right.ASK)
        grant = self._facts.grants.of_session(require_session(request).id)
        cases = [case for case in self._facts.grants.cases() if grant and case.grant.id == grant.id]
        if not cases:
            raise web.HTTPSeeOther("/grants")
        return self._draw(request, "viewer", raw=True, case=self._told(cases[0], request[WHO]))

    async def privacy(self, request: web.Request) -> web.Response:
        """Give the public notice."""
        now = self._facts.options.settings()
        told = {"contact": now.contact, "policy": now.raw, "minutes": now.raw_minutes}
        return self._draw(request, "privacy", **told)

    async def login(self, request: web.Request) -> web.Response:
        """Give the log-in page."""
        wanted = request.query.get("next", "/")
        known = {place.path for place in (*PLACES, ACCOUNT)} | {"/raw"}
        # A page of ours or none: whoever sends somebody a link must not choose where it ends.
        return self._draw(request, "login", next=wanted if wanted in known else "/")

    async def claim(self, request: web.Request) -> web.Response:
        """Give the page by which a camera gets its owner."""
        return self._draw(request, "claim")

    async def account(self, request: web.Request) -> web.Response:
        """Give the page of one's own account."""
        self._require(request)
        session = require_session(request)
        person = self._facts.people.find(session.name)
        weak = person is not None and person.is_delicate and not session.strong
        return self._draw(request, "account", person=person, weak=weak)

    async def grants(self, request: web.Request) -> web.Response:
        """Give the page on which the raw picture is asked for, approved and ended."""
        who = self._require(request, Right.ASK, Right.SEE_GRANTS)
        every = Right.SEE_GRANTS in who.rights
        seen = [
            self._told(case, who)
            for case in self._facts.grants.cases()
            if every or case.grant.holder == who.name
        ]
        now = self._facts.options.settings()
        return self._draw(
            request,
            "grants",
            open=[case for case in seen if case["state"] != State.ENDED],
            ended=[case for case in seen if case["state"] == State.ENDED],
            policy=now.raw,
            most=now.raw_minutes,
            may_ask=Right.ASK in who.rights,
            may_approve=Right.APPROVE in who.rights,
            may_revoke=Right.REVOKE in who.rights,
        )

    async def users(self, request: web.Request) -> web.Response:
        """Give the page of the accounts."""
        who = self._require(request, Right.SEE_USERS)
        users = [self._user(person) for person in self._facts.people.all()]
        return self._draw(request, "users", users=users, roles=ROLES, may_change=Right.USERS in who.rights)

    async def audit(self, request: web.Request) -> web.Response:
        """Give a page of the record."""
        self._require(request, Right.AUDIT)
        asked = {key: value for key, value in request.query.items() if value}
        wanted = read_filter({**asked, "limit": str(PAGE)})
        entries = await asyncio.to_thread(select, self._facts.audit, wanted)
        older = urlencode({**asked, "below": entries[-1].n}) if len(entries) == PAGE else ""
        return self._draw(
            request,
            "audit",
            entries=entries,
            acts=list(Act),
            what=wanted.what,
            asked_who=wanted.who or "",
            older=older,
        )

    async def openapi(self, request: web.Request) -> web.Response:
        """Give the description of the interface for programs."""
        return web.Response(text=self._openapi, content_type="application/json")

    async def file(self, request: web.Request) -> web.Response:
        """Give a style sheet, a script or the icon."""
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound
        return web.Response(
            body=self._files[name],
            content_type=TYPES[Path(name).suffix],
            charset="utf-8",
            headers={"Cache-Control": "no-cache"},
        )

    def _require(self, request: web.Request, *rights: Right) -> Principal:
        """Return who asks, if they have one of the rights; a stranger is sent to the log-in page."""
        if SESSION not in request:
            raise web.HTTPSeeOther(f"/login?{urlencode({'next': request.path})}")
        held = [right for right in rights if right in request[WHO].rights]
        return require(request, held[0] if held else rights[0]) if rights else request[WHO]

    def _draw(self, request: web.Request, name: str, **told: object) -> web.Response:
        who = request[WHO]
        places = [place for place in PLACES if not place.rights or place.rights & who.rights]
        if who.session is not None:
            places.append(ACCOUNT)
        text = self._templates[name].render(
            who=who,
            places=places,
            here=request.path,
            claimed=self._facts.ownership.owner is not None,
            raw_viewers=len(self._facts.raw_viewers),
            **told,
        )
        return web.Response(text=text, content_type="text/html")

    def _told(self, case: Case, who: Principal) -> dict[str, object]:
        return {
            "id": case.grant.id,
            "state": case.state,
            "holder": case.grant.holder,
            "approver": case.grant.approver,
            "purpose": case.grant.purpose,
            "minutes": case.minutes,
            "renewal_minutes": case.renewal,
            "left_s": self._facts.grants.left_s(case),
            "why": case.why,
            "mine": case.grant.holder == who.name,
        }

    def _user(self, person: Person) -> dict[str, object]:
        seen = "never"
        if person.seen_s is not None:
            seen = dt.datetime.fromtimestamp(person.seen_s, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
        return {
            "name": person.name,
            "roles": person.roles,
            "second_factor": person.has_second,
            "seen": seen,
            "sessions": self._facts.sessions.count(person.name),
        }
