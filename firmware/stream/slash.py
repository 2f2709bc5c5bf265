"""A slash too many at the end of an address leads to the address without it."""

from aiohttp import web
from aiohttp.typedefs import Handler


@web.middleware
async def without_slash(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send whoever asks for `ADDRESS/` to `ADDRESS` (308: the same method and body), where that is one."""
    try:
        return await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        path = request.rel_url.raw_path
        if not path.endswith("/") or path == "/":
            raise
        other = request.clone(rel_url=request.rel_url.with_path(path[:-1], encoded=True))
        # Only to what is really here: `//elsewhere/` must not lead to another site.
        if (await request.app.router.resolve(other)).http_exception is not None:
            raise
    query = request.rel_url.raw_query_string
    raise web.HTTPPermanentRedirect(path[:-1] + (f"?{query}" if query else ""))
