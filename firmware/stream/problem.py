"""Every refusal over HTTP as application/problem+json (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from firmware.errors import OutputError

MEDIA_TYPE = "application/problem+json"


class Refused(Exception):
    """A request that gets a problem document; `detail` is one sentence for people."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})


def document(status: int, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a problem document."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return web.Response(status=status, body=json.dumps(body), content_type=MEDIA_TYPE, headers=headers)


_DETAILS = {
    404: "nothing is here",
    405: "this address does not take that method",
    413: "the body is too large",
}


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn refusals, ours and aiohttp's, into problem documents."""
    try:
        return await handler(request)
    except Refused as exc:
        return document(exc.status, str(exc), exc.headers)
    except OutputError as exc:
        # What cannot be written or recorded has not happened.
        return document(HTTPStatus.INSUFFICIENT_STORAGE, str(exc))
    except web.HTTPException as exc:
        if exc.status < HTTPStatus.BAD_REQUEST:
            raise
        allow = {"Allow": exc.headers["Allow"]} if "Allow" in exc.headers else None
        return document(exc.status, _DETAILS.get(exc.status, exc.reason), allow)
