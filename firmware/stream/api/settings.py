"""`/api/v1/settings`: what holds, what can be said, and the one way to change it."""

from http import HTTPStatus

from aiohttp import web

from firmware.access.change import GovernedSettings, NeedsSignature
from firmware.access.roles import Right
from firmware.access.statement import LONGEST, StatementRefused
from firmware.config.settings import RESTART
from firmware.config.store import RevisionMoved, Stored
from firmware.config.weakening import schema
from firmware.errors import ConfigError
from firmware.stream.api.body import read_object
from firmware.stream.problem import Refused
from firmware.stream.who import require

SHAPE = 'send {"set": {KEY: VALUE}} and, where it weakens privacy, "statement"'


class SettingsApi:
    """The handlers of the settings."""

    def __init__(self, settings: GovernedSettings) -> None:
        self._settings = settings

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/api/v1/settings", self.show)
        app.router.add_patch("/api/v1/settings", self.change)
        app.router.add_get("/api/v1/settings/schema", self.schema)

    async def show(self, request: web.Request) -> web.Response:
        """Give the settings that hold; the entity tag is their revision."""
        require(request, Right.SETTINGS)
        now = self._settings.now
        return web.json_response(_told(now), headers={"ETag": _tag(now.revision)})

    async def schema(self, request: web.Request) -> web.Response:
        """Give the JSON Schema."""
        return web.json_response(schema())

    async def change(self, request: web.Request) -> web.Response:
        """Change some keys."""
        who = require(request, Right.SETTINGS)
        patch, statement = _read(await read_object(request))
        try:
            done = await self._settings.change(who.name, patch, statement, _expected(request))
        except ConfigError as exc:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc)) from exc
        except RevisionMoved as exc:
            raise Refused(HTTPStatus.PRECONDITION_FAILED, "the settings have changed meanwhile") from exc
        except NeedsSignature as exc:
            raise Refused(HTTPStatus.FORBIDDEN, str(exc)) from exc
        except StatementRefused as exc:
            raise Refused(HTTPStatus.FORBIDDEN, f"the statement is refused: {exc}") from exc
        restart = [key for key in done.changed if key in RESTART]
        told = _told(self._settings.now) | {"changed": list(done.changed), "restart": restart}
        return web.json_response(told, headers={"ETag": _tag(self._settings.now.revision)})


def _told(now: Stored) -> dict[str, object]:
    return {"revision": now.revision, "digest": now.digest, "settings": now.values()}


def _tag(revision: int) -> str:
    return f'"{revision}"'


def _expected(request: web.Request) -> int | None:
    """Return the revision of If-Match (RFC 9110, section 13.1.1); None where any will do."""
    text = request.headers.get("If-Match", "*")
    if text == "*":
        return None
    number = text.strip('"')
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise Refused(HTTPStatus.PRECONDITION_FAILED, "the settings have another revision")
    return int(number)


def _read(told: dict[str, object]) -> tuple[dict[str, object], str | None]:
    patch, statement = told.get("set"), told.get("statement")
    if not isinstance(patch, dict) or not patch or not set(told) <= {"set", "statement"}:
        raise Refused(HTTPStatus.BAD_REQUEST, SHAPE)
    if statement is not None and (not isinstance(statement, str) or len(statement) > LONGEST):
        raise Refused(HTTPStatus.BAD_REQUEST, SHAPE)
    return patch, statement
