"""Who may watch the redacted stream: whoever reaches the camera or whoever is logged in, by a setting."""

from collections.abc import Callable

from aiohttp import web

from firmware.access.roles import Right
from firmware.access.sessions import Sessions
from firmware.config.settings import Settings
from firmware.stream.who import SESSION, require

ANYBODY = "anybody"
"""Holds a session that nobody had to log in for."""


class Watchers:
    """Admits those who may watch, and says for how long they may."""

    def __init__(self, settings: Callable[[], Settings], sessions: Sessions) -> None:
        self._settings = settings
        self._sessions = sessions

    @property
    def is_open(self) -> bool:
        """Whether nobody has to log in."""
        return self._settings().viewing == "open"

    def admit(self, request: web.Request) -> str:
        """Return on whose behalf somebody watches: the id of their log-in, or `ANYBODY`; raises Refused."""
        if not self.is_open:
            require(request, Right.WATCH)
        session = request.get(SESSION)
        return ANYBODY if session is None else session.id

    def may_go_on(self, holder: str) -> bool:
        """Say whether somebody who was admitted may still watch."""
        if self.is_open:
            return True
        rights = self._sessions.principal(self._sessions.by_id(holder)).rights
        return Right.WATCH in rights
