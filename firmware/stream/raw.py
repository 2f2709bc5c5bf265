"""The raw stream: by a live grant alone, recorded, and told to everybody who watches."""

import asyncio
import logging
from http import HTTPStatus

from aiohttp import web

from firmware.access.grants import Grants
from firmware.audit import Act, Audit
from firmware.core.frames import Raw
from firmware.core.grant import Grant
from firmware.errors import AuditUnwritable
from firmware.fanout import Fanout
from firmware.ports import Lamp
from firmware.stream.feed import RawFeed
from firmware.stream.problem import Refused
from firmware.stream.session import Session
from firmware.stream.viewers import Viewers
from firmware.stream.whep import Whep
from firmware.stream.who import SESSION, WHO

logger = logging.getLogger(__name__)

NEEDED = "raw pictures need a live grant"


class RawWhep(Whep[Raw]):
    """The handlers of `/whep/raw…`; whatever fits none of them is refused here, too."""

    def __init__(self, viewers: Viewers[Raw], fanout: Fanout[Raw], grants: Grants) -> None:
        super().__init__("raw", viewers, self)
        self._fanout = fanout
        self._grants = grants

    def add_to(self, app: web.Application) -> None:
        """Add the routes; aiohttp takes the first one that fits."""
        super().add_to(app)
        app.router.add_route("*", "/whep/raw{path:.*}", self.refuse)

    def admit(self, request: web.Request) -> RawFeed:
        """Return the raw feed of whoever asks, by the live grant of their log-in; raises Refused."""
        session = request.get(SESSION)
        grant = None if session is None else self._grants.of_session(session.id)
        if grant is None or grant.holder != request[WHO].name:
            raise Refused(HTTPStatus.FORBIDDEN if session else HTTPStatus.UNAUTHORIZED, NEEDED)
        return RawFeed(self._fanout, grant, self._grants.lives)

    def require_own(self, request: web.Request, session: Session[Raw]) -> None:
        """Raise Refused where a raw session is another log-in's."""
        if self.admit(request).grant.id != session.holder:
            raise Refused(HTTPStatus.FORBIDDEN, "that is somebody else's session")

    async def refuse(self, request: web.Request) -> web.Response:
        """Refuse what is no address of the raw stream."""
        raise Refused(HTTPStatus.FORBIDDEN, NEEDED)


class RawRecords:
    """Records when a raw view begins and ends, and has the lamp lit as long as there is one."""

    def __init__(self, grants: Grants, audit: Audit, lamp: Lamp | None) -> None:
        self._grants = grants
        self._audit = audit
        self._lamp = lamp
        self._watched: dict[str, Grant] = {}

    async def begun(self, session: Session[Raw], address: str) -> None:
        """Record that a grant is used and light the lamp, before its holder gets an answer.

        Raises:
            AuditUnwritable: it cannot be recorded.
            OSError: the lamp cannot be lit.
        """
        grant = self._grants.by_id(session.holder)
        if grant is None:
            raise Refused(HTTPStatus.FORBIDDEN, NEEDED)
        about = {"grant": grant.id, "view": session.id[:8], "purpose": grant.purpose, "from": address}
        await self._audit.record(Act.RAW_BEGUN, grant.holder, about)
        self._watched[session.id] = grant
        await self._show()

    async def ended(self, session: Session[Raw]) -> None:
        """Record that a raw view is over."""
        grant = self._watched.pop(session.id, None)
        if grant is None:
            return
        try:
            await self._show()
            about = {"grant": grant.id, "view": session.id[:8]}
            await self._audit.record(Act.RAW_ENDED, grant.holder, about)
        except (AuditUnwritable, OSError) as exc:
            # It is over all the same; the grant's own end is recorded as soon as that can be.
            logger.warning("the end of a raw view is not recorded, or the lamp not put out: %s", exc)

    async def _show(self) -> None:
        if self._lamp is not None:
            await asyncio.to_thread(self._lamp.show, lit=bool(self._watched))
