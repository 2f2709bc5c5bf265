"""Section D of the update cases: servers that break off, lie, and splice."""

import io
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from firmware.access.identity import open_identity
from firmware.access.owner import Ownership
from firmware.errors import UpdateError
from firmware.ports import SystemClock
from firmware.update import fetch
from firmware.update.device import Board as Boots
from firmware.update.device import update_agent
from firmware.update.fetch import ATTEMPTS, RemoteBundle
from firmware.update.service import UpdateService
from ota.errors import Code
from tests.ota.test_metadata import refused
from tests.remote.pki import Authority
from tests.update.test_agent import Board, board, cut_off, told_of

CONTENT = bytes(range(256)) * 4096
"""One MiB."""

__all__ = ["board"]


class Server:
    """Serves one content, as a test tells it to."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.cut = len(content)
        """Bytes after which each answer breaks off."""
        self.ranges = True
        self.tag = '"one"'
        self.headers: dict[str, str] = {}
        self.status = 0
        self.length: int | None = None
        self.asked: list[str | None] = []
        self.before: Callable[[Server], object] = lambda server: None

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.asked.append(wanted)
        self.before(self)
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        handler.send_response(self.status or (206 if wanted and self.ranges else 200))
        if wanted and self.ranges:
            end, size = len(self.content) - 1, len(self.content)
            handler.send_header("Content-Range", f"bytes {begin}-{end}/{size}")
        length = len(self.content) - begin if self.length is None else self.length
        handler.send_header("Content-Length", str(length))
        handler.send_header("ETag", self.tag)
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(self.content[begin : begin + self.cut])


@contextmanager
def serving(server: Server, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)
            self.close_connection = True

        def log_message(self, *told: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        if tls is not None:
            http.socket = tls.wrap_socket(http.socket, server_side=True)
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http{'' if tls is None else 's'}://127.0.0.1:{http.server_port}/update.vup?x=1"
        finally:
            http.shutdown()
            thread.join(5)


def all_of(url: str) -> bytes:
    out = io.BytesIO()
    with RemoteBundle(url) as file:
        while piece := file.read(10_000):
            out.write(piece)
    return out.getvalue()


def test_it_is_read_as_a_file_is() -> None:
    with serving(Server()) as url:
        assert all_of(url) == CONTENT


def test_d01_it_goes_on_wherever_it_broke_off() -> None:
    server = Server()
    server.cut = 64 * 1024
    with serving(server) as url:
        assert all_of(url) == CONTENT
    assert len(server.asked) == 16
    assert server.asked[3] == f"bytes={3 * 64 * 1024}-"


def test_d01_for_ever_is_too_often() -> None:
    server = Server()
    server.cut = 0
    with serving(server) as url:
        refused(Code.UNAVAILABLE, lambda: all_of(url))
    assert len(server.asked) == ATTEMPTS


def test_d02_what_ignores_where_to_go_on_is_not_spliced() -> None:
    server = Server()
    server.cut, server.ranges = 100_000, False
    with serving(server) as url:
        refused(Code.UNAVAILABLE, lambda: all_of(url))


def test_d02_another_file_by_now_is_not_spliced() -> None:
    server = Server()
    server.cut = 100_000

    def change(told: Server) -> None:
        told.tag = f'"{len(told.asked)}"'

    server.before = change
    with serving(server) as url:
        refused(Code.UNAVAILABLE, lambda: all_of(url))


def test_d03_a_length_that_is_a_lie_is_a_break_or_an_end() -> None:
    server = Server()
    server.length = len(CONTENT) // 2
    with serving(server) as url:
        assert all_of(url) == CONTENT[: len(CONTENT) // 2]


@pytest.mark.parametrize(
    "where", ["file:///etc/passwd", "http://192.0.2.1/", "ftp://127.0.0.1/", "update.vup"]
)
def test_d04_other_ways_are_not_gone(where: str) -> None:
    refused(Code.UNAVAILABLE, lambda: RemoteBundle(where))


def test_d04_a_redirect_is_not_followed() -> None:
    server = Server()
    server.status, server.headers = 302, {"Location": "file:///etc/passwd"}
    with serving(server) as url:
        assert "302" in refused(Code.UNAVAILABLE, lambda: all_of(url))
    assert len(server.asked) == 1


def test_d05_what_is_encoded_is_not_decoded() -> None:
    server = Server()
    server.headers = {"Content-Encoding": "gzip"}
    with serving(server) as url:
        refused(Code.UNAVAILABLE, lambda: all_of(url))


def test_a20_whoever_sends_a_byte_now_and_then_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PATIENCE_S", 0.0)
    monkeypatch.setattr(fetch, "SLOWEST", 10**9)
    with serving(Server(CONTENT * 100)) as url:
        assert "bytes a second" in refused(Code.UNAVAILABLE, lambda: all_of(url))


def test_a_server_that_is_busy_is_asked_again() -> None:
    server = Server()
    server.status = 503

    def later(told: Server) -> None:
        told.status = 503 if len(told.asked) < 3 else 0

    server.before = later
    with serving(server) as url:
        assert all_of(url) == CONTENT
    assert len(server.asked) == 3


def test_a_camera_installs_from_a_server_that_breaks_off(board: Board) -> None:
    board.update(1)
    server = Server(board.bundle(2))
    server.cut = 70_000
    with serving(server) as url, RemoteBundle(url) as file:
        board.agent().install(file)
    assert board.start() == "version 2"


def test_d13_other_bytes_for_the_rest_are_found_out(board: Board) -> None:
    board.update(1)
    bundle = board.bundle(2)
    server = Server(bundle)
    server.cut = len(bundle) - 200_000

    def swap(told: Server) -> None:
        if len(told.asked) > 1:
            told.content = bundle[:-100] + b"x" * 100

    server.before = swap
    with serving(server) as url, RemoteBundle(url) as file:
        refused(Code.CORRUPT, lambda: board.agent().install(file))
    assert board.start() == "version 1"


def test_a_server_that_is_not_who_it_should_be_is_not_read(tmp_path: Path) -> None:
    """D11."""
    authority, stranger = Authority(tmp_path / "ours"), Authority(tmp_path / "another", "another")
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.issue("server", at="127.0.0.1")
    theirs.load_cert_chain(pair.certificate, pair.key)
    with serving(Server(), theirs) as url:
        for believed in (None, stranger.certificate):
            context = None if believed is None else ssl.create_default_context(cafile=believed)
            with RemoteBundle(url, context) as file:
                assert "certificate verify failed" in refused(
                    Code.UNAVAILABLE, lambda file=file: file.read(1)
                )
        elsewhere = url.replace("127.0.0.1", "127.0.0.2")
        with RemoteBundle(elsewhere, ssl.create_default_context(cafile=authority.certificate)) as file:
            refused(Code.UNAVAILABLE, lambda: file.read(1))
        with RemoteBundle(url, ssl.create_default_context(cafile=authority.certificate)) as file:
            assert file.read(5) == CONTENT[:5]


def test_two_at_once_are_one_and_a_refusal(board: Board) -> None:
    """D12."""
    identity, clock = open_identity(board.state), SystemClock()
    updates = UpdateService(
        board.state, identity, Ownership(board.state, clock), Boots("laptop", "directory"), clock
    )
    with update_agent(board.state, identity, Boots("laptop", "directory"), clock):
        with pytest.raises(UpdateError, match="BUSY"):
            updates.install(str(board.state / "bundle"), None)
        assert updates.status()["phase"] == "idle", "to look is not to install"


def test_five_power_cuts_in_one_update_and_it_is_taken_all_the_same(board: Board, tmp_path: Path) -> None:
    """F17."""
    board.update(1)
    bundle, folder = board.bundle(2), tmp_path / "told"
    told_of(board, bundle, folder)
    cuts = [("write", 4), ("fsync", 2), ("write", 8), ("rename", 2), ("fsync", 6)]
    for call, at in cuts:
        assert cut_off(board, "install", folder, call, at), (call, at)
        assert board.start() == "version 1"
    assert not cut_off(board, "install", folder, "write", 60_000)
    assert board.start() == "version 2"
    board.confirm()
    assert not list(board.state.rglob(".part-*"))
