"""Bodies of requests to `/api/v1`: bounded, strict JSON objects."""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from firmware.core.strict_json import NotStrict, read_json
from firmware.stream.body import MAX_BODY
from firmware.stream.problem import Refused
from firmware.stream.whep import read_body

JSON = "application/json"
LONGEST_TEXT = 256


async def read_object(request: web.Request) -> dict[str, object]:
    """Return the JSON object of a body; raises Refused."""
    try:
        return read_json(await read_body(request, JSON), MAX_BODY)
    except NotStrict as exc:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the body is {exc}") from exc


def texts(
    told: Mapping[str, object], *keys: str, optional: tuple[str, ...] = (), longest: int = LONGEST_TEXT
) -> list[str]:
    """Return the texts of an object, in the order of `keys` and `optional` ones (empty where left out).

    Raises:
        Refused: one is missing, no text or too long, or there is another key.
    """
    found = [told.get(key, "" if key in optional else None) for key in (*keys, *optional)]
    if not told.keys() <= {*keys, *optional}:
        raise Refused(HTTPStatus.BAD_REQUEST, f"send {', '.join((*keys, *optional))} and nothing else")
    for key, value in zip((*keys, *optional), found, strict=True):
        if not isinstance(value, str) or len(value) > longest:
            raise Refused(HTTPStatus.BAD_REQUEST, f"{key}: send a text of {longest} characters at most")
    return [str(value) for value in found]
