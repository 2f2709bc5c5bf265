"""Bodies of requests to `/api/v1`: bounded, strict JSON objects."""

from http import HTTPStatus

from aiohttp import web

from firmware.core.strict_json import NotStrict, read_json
from firmware.stream.problem import Refused
from firmware.stream.server import MAX_BODY
from firmware.stream.whep import read_body

JSON = "application/json"


async def read_object(request: web.Request) -> dict[str, object]:
    """Return the JSON object of a body; raises Refused."""
    try:
        return read_json(await read_body(request, JSON), MAX_BODY)
    except NotStrict as exc:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the body is {exc}") from exc
