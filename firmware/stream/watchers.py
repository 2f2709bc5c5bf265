"""Who may watch the redacted stream: whoever reaches the camera or whoever is logged in, by a setting."""

from collections.abc import Callable

from aiohttp import web

from firmware.access.roles import Right
from firmware.access.sessions import Sessions
from firmware.config.settings import Settings
from firmware.core.frames import Redacted
from firmware.fanout import Fanout
from firmware.stream.feed import RedactedFeed
from firmware.stream.session import Session
from firmware.stream.who import SESSION, require

ANYBODY = "anybody"
"""Holds a session that nobody had to log in for."""


class Watchers:
    """Admits those who may watch, and says for how long they may."""

    def __init__(
        self, settings: Callable[[], Settings], sessions: Sessions, fanout: Fanout[Redacted]
    ) -> None:
        self._fanout = fanout
        self._settings = settings
        self._sessions = sessions

    @property
    def is_open(self) -> bool:
        """Whether nobody has to log in."""
        return self._settings().viewing == "open"

    def require(self, request: web.Request) -> None:
        """Raise Refused where somebody may not watch."""
        if not self.is_open:
            require(request, Right.WATCH)

    def admit(self, request: web.Request) -> RedactedFeed:
        """Return what whoever asks may see; raises Refused."""
        self.require(request)
        session = request.get(SESSION)
        return RedactedFeed(self._fanout, ANYBODY if session is None else session.id, self.may_go_on)

    def require_own(self, request: web.Request, session: Session[Redacted]) -> None:
        """Raise Refused where a session is somebody else's: its id, which nobody can guess, tells."""
        self.require(request)

    def may_go_on(self, holder: str) -> bool:
        """Say whether somebody who was admitted may still watch."""
        if self.is_open:
            return True
        rights = self._sessions.principal(self._sessions.by_id(holder)).rights
        return Right.WATCH in rights
