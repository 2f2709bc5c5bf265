"""A real HTTP server on loopback: Python index, npm registry, and either of them misbehaving."""

import hashlib
import io
import json
import re
import ssl
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wheel(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def tarball(members: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@dataclass
class Registry:
    """What the server has, what it was asked, and how it misbehaves."""

    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    cut_after: dict[str, int] = field(default_factory=dict)
    """Path to bytes after which the connection is closed, once."""
    ranges: bool = True
    says_length: bool = True
    base: str = ""

    def python_package(self, package: str, archive: bytes, *, html: bool = False) -> None:
        """Publish a wheel on the index, as PEP 691 or as PEP 503."""
        path = f"/files/{package}.whl"
        self.files[path] = ("application/octet-stream", archive)
        if html:
            body = f'<!doctype html><a href="..{path}#sha256={sha256(archive)}">x</a>'.replace("..", "../..")
            self.files[f"/simple/{package}/"] = ("text/html; charset=utf-8", body.encode())
            return
        decoy = {"filename": "old.whl", "url": "/files/old.whl", "hashes": {"sha256": "0" * 64}}
        entry = {"filename": "x.whl", "url": path, "hashes": {"sha256": sha256(archive)}}
        page = json.dumps({"meta": {"api-version": "1.1"}, "name": package, "files": [decoy, entry]})
        self.files[f"/simple/{package}/"] = ("application/vnd.pypi.simple.v1+json", page.encode())

    def npm_package(self, package: str, version: str, archive: bytes) -> None:
        """Publish a tarball on the npm registry."""
        path = f"/tarballs/{package.rpartition('/')[2]}.tgz"
        self.files[path] = ("application/octet-stream", archive)
        page = json.dumps({"name": package, "dist": {"tarball": self.base + path}})
        self.files[f"/npm/{package}/{version}"] = ("application/json", page.encode())

    def downloads(self) -> list[tuple[str, str | None]]:
        """Return the archives that were asked for, with the range of each."""
        return [entry for entry in self.asked if entry[0].startswith(("/files/", "/tarballs/"))]


def _handler(registry: Registry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(self.path)
            wanted = self.headers.get("Range")
            registry.asked.append((path, wanted))
            registry.authorizations.append(self.headers.get("Authorization"))
            if path not in registry.files:
                self.send_error(404)
                return
            kind, body = registry.files[path]
            hit = re.fullmatch(r"bytes=(\d+)-", wanted or "")
            start = int(hit[1]) if hit and registry.ranges else 0
            if start and start >= len(body):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Type", kind)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            if registry.says_length:
                self.send_header("Content-Length", str(len(body) - start))
            self.send_header("Connection", "close")
            self.end_headers()
            end = registry.cut_after.pop(path, len(body))
            self.wfile.write(body[start:end])
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving(registry: Registry, tls: ssl.SSLContext | None = None) -> Iterator[Registry]:
    """Serve on a free port of loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(registry))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    registry.base = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
