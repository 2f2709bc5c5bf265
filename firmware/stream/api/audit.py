"""`/api/v1/audit`: the record, for whoever may read it."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from firmware.access.record import sign_head
from firmware.access.roles import Right
from firmware.audit import Act, Audit, Entry, lines_of, read_line
from firmware.core.strict_json import NotStrict
from firmware.ports import KeyStore
from firmware.stream.problem import Refused
from firmware.stream.who import require

MOST = 500
CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries somebody asks for: the newest `limit` below `below`, of an act, of a person."""

    limit: int = 100
    below: int | None = None
    what: str | None = None
    who: str | None = None

    def takes(self, entry: Entry) -> bool:
        """Say whether an entry is asked for."""
        if self.below is not None and entry.n >= self.below:
            return False
        return self.what in (None, entry.what) and self.who in (None, entry.who)


class AuditApi:
    """The handlers of the record."""

    def __init__(self, audit: Audit, keys: KeyStore) -> None:
        self._audit = audit
        self._keys = keys

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/api/v1/audit", self.show)
        app.router.add_get("/api/v1/audit/head", self.head)
        app.router.add_get("/api/v1/audit/export", self.export)

    async def show(self, request: web.Request) -> web.Response:
        """Give the newest entries that are asked for, newest first."""
        require(request, Right.AUDIT)
        found = await asyncio.to_thread(select, self._audit, read_filter(request.query))
        return web.json_response({"entries": [entry.told() for entry in found]})

    async def head(self, request: web.Request) -> web.Response:
        """Give the signed head, to be kept off the device."""
        require(request, Right.AUDIT)
        text = await asyncio.to_thread(sign_head, self._audit.head, self._keys)
        return web.Response(text=text, content_type="application/json")

    async def export(self, request: web.Request) -> web.StreamResponse:
        """Give the whole record as it is on the disk, JSON lines."""
        require(request, Right.AUDIT)
        size = await asyncio.to_thread(lambda: self._audit.path.stat().st_size)
        headers = {"Content-Type": "application/jsonl", "Content-Length": str(size)}
        headers["Content-Disposition"] = 'attachment; filename="audit.jsonl"'
        answer = web.StreamResponse(headers=headers)
        await answer.prepare(request)
        with await asyncio.to_thread(self._audit.path.open, "rb") as file:
            while size > 0:
                part = await asyncio.to_thread(file.read, min(size, CHUNK))
                await answer.write(part)
                size -= len(part)
        await answer.write_eof()
        return answer


def select(audit: Audit, wanted: Filter) -> list[Entry]:
    """Return the newest entries that are asked for, newest first; damaged lines are left to verify."""
    found: deque[Entry] = deque(maxlen=wanted.limit)
    for line in lines_of(audit.path):
        try:
            entry, _ = read_line(line)
        except NotStrict:
            continue
        if wanted.takes(entry):
            found.append(entry)
    return list(reversed(found))


def read_filter(query: Mapping[str, str]) -> Filter:
    """Read a query; raises Refused where it makes no sense."""
    if not query.keys() <= {"limit", "below", "what", "who"}:
        raise Refused(HTTPStatus.BAD_REQUEST, "ask by limit, below, what and who")
    limit, below, what = query.get("limit", "100"), query.get("below"), query.get("what") or None
    if not _is_number(limit) or not 1 <= int(limit) <= MOST:
        raise Refused(HTTPStatus.BAD_REQUEST, f"limit: a number from 1 to {MOST}")
    if below is not None and not _is_number(below):
        raise Refused(HTTPStatus.BAD_REQUEST, "below: a number")
    if what is not None and what not in list(Act):
        raise Refused(HTTPStatus.BAD_REQUEST, f"what: one of {', '.join(Act)}")
    return Filter(int(limit), None if below is None else int(below), what, query.get("who") or None)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12
