"""The web pages: the viewer and the public notice; everything on them is ours and comes from here."""

from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).resolve().parent
TYPES: Mapping[str, str] = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Pages:
    """The handlers of `/`, `/privacy`, `/static/…` and the OpenAPI file; all are read once, at the start."""

    def __init__(self, contact: Callable[[], str]) -> None:
        self._viewer = (FOLDER / "viewer.html").read_text(encoding="utf-8")
        self._notice = (FOLDER / "privacy.html").read_text(encoding="utf-8")
        self._contact = contact
        self._openapi = (FOLDER.parent / "openapi.json").read_text(encoding="utf-8")
        self._files = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in TYPES}

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/", self.viewer)
        app.router.add_get("/privacy", self.privacy)
        app.router.add_get("/static/{name}", self.file)
        app.router.add_get("/api/v1/openapi.json", self.openapi)

    async def viewer(self, request: web.Request) -> web.Response:
        """Give the viewer page."""
        return web.Response(text=self._viewer, content_type="text/html")

    async def privacy(self, request: web.Request) -> web.Response:
        """Give the public notice."""
        notice = self._notice.replace("{{contact}}", escape(self._contact()))
        return web.Response(text=notice, content_type="text/html")

    async def openapi(self, request: web.Request) -> web.Response:
        """Give the description of the interface for programs."""
        return web.Response(text=self._openapi, content_type="application/json")

    async def file(self, request: web.Request) -> web.Response:
        """Give a style sheet, a script or the icon."""
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound
        return web.Response(
            body=self._files[name],
            content_type=TYPES[Path(name).suffix],
            charset="utf-8",
            headers={"Cache-Control": "no-cache"},
        )
