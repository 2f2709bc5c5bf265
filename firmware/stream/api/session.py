"""`/api/v1/session`: log in, see who you are, log out."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from aiohttp import web

from firmware.access.login import LogIn, LogInRefused, SecondNeeded
from firmware.access.passkeys import Passkeys, Place
from firmware.access.people import People
from firmware.access.sessions import Session, Sessions
from firmware.access.throttle import Throttled
from firmware.audit import Act, Audit
from firmware.stream.admission import hostname
from firmware.stream.api.body import read_object, texts
from firmware.stream.cookie import drop_cookie, own_origin, set_cookie
from firmware.stream.door import network_of
from firmware.stream.problem import Refused
from firmware.stream.remote import client_address
from firmware.stream.who import TRIED, WHO, require_session

UNAUTHORIZED = {"WWW-Authenticate": "Bearer"}
SECOND = "give the code of your authenticator app"


class SessionApi:
    """The handlers of the log-in."""

    def __init__(
        self, log_in: LogIn, sessions: Sessions, people: People, passkeys: Passkeys, audit: Audit
    ) -> None:
        self._log_in = log_in
        self._sessions = sessions
        self._people = people
        self._passkeys = passkeys
        self._audit = audit

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_post("/api/v1/session", self.open)
        app.router.add_get("/api/v1/session", self.show)
        app.router.add_delete("/api/v1/session", self.close)
        app.router.add_post("/api/v1/session/passkey/options", self.ask_passkey)
        app.router.add_post("/api/v1/session/passkey", self.open_by_passkey)

    async def open(self, request: web.Request) -> web.Response:
        """Take a name, a password and perhaps a code; give a token, or a cookie to a page of ours."""
        told = await read_object(request)
        cookie = told.pop("cookie", False) is True
        name, password, code = texts(told, "name", "password", optional=("code",))
        if cookie:
            own_origin(request)
        with refusals(request):
            token, session = await self._log_in.by_password(
                name.strip().lower(), password, code.replace(" ", ""), network_of(client_address(request))
            )
        return self._opened(request, token, session, cookie=cookie)

    async def ask_passkey(self, request: web.Request) -> web.Response:
        """Give what a browser needs to log in by a passkey."""
        return web.Response(text=self._passkeys.log_in(place_of(request)), content_type="application/json")

    async def open_by_passkey(self, request: web.Request) -> web.Response:
        """Take a passkey's answer; a page of ours gets a cookie."""
        told, place = await read_object(request), place_of(request)
        with refusals(request):
            token, session = await self._log_in.by_passkey(place, told, network_of(client_address(request)))
        return self._opened(request, token, session, cookie=True)

    def _opened(self, request: web.Request, token: str, session: Session, *, cookie: bool) -> web.Response:
        told = self._told(session)
        if not cookie:
            told["token"] = token
        answer = web.json_response(told, status=HTTPStatus.CREATED)
        if cookie:
            set_cookie(request, answer, token)
        return answer

    async def show(self, request: web.Request) -> web.Response:
        """Say who is logged in."""
        return web.json_response(self._told(require_session(request)))

    async def close(self, request: web.Request) -> web.Response:
        """Log out."""
        session = require_session(request)
        self._sessions.end(session.id)
        await self._audit.record(Act.LOG_OUT, request[WHO].name, {"session": session.id})
        answer = web.Response(status=HTTPStatus.NO_CONTENT)
        drop_cookie(answer)
        return answer

    def _told(self, session: Session) -> dict[str, object]:
        who, person = self._sessions.principal(session), self._people.find(session.name)
        return {
            "name": who.name,
            "session": session.id,
            "roles": list(person.roles) if person else [],
            "rights": sorted(who.rights),
            "second_factor": session.strong,
            "needs_second_factor": bool(person and person.is_delicate and not session.strong),
        }


@contextmanager
def refusals(request: web.Request) -> Iterator[None]:
    """Answer what a log-in in the block is refused for."""
    try:
        yield
    except Throttled as exc:
        again = {"Retry-After": str(int(exc.wait_s) + 1)}
        raise Refused(HTTPStatus.TOO_MANY_REQUESTS, str(exc), again) from exc
    except SecondNeeded as exc:
        raise Refused(HTTPStatus.UNAUTHORIZED, SECOND, UNAUTHORIZED) from exc
    except LogInRefused as exc:
        if exc.known is not None:
            request[TRIED] = exc.known
        raise Refused(HTTPStatus.UNAUTHORIZED, str(exc), UNAUTHORIZED) from exc


def place_of(request: web.Request) -> Place:
    """Return where a page of ours is that asks for a passkey; raises Refused."""
    return Place(hostname(request.host), own_origin(request))
