"""Bodies that are compressed, no good or cut off, and addresses with a slash too many."""

import asyncio
import gzip
import logging
import socket
import ssl
import struct
import time
import tracemalloc
import zlib
from http import HTTPStatus
from pathlib import Path

import pytest

from firmware.stream.body import _decoded
from firmware.stream.problem import Refused
from tests.stream.peer import strip_candidates, viewer
from tests.stream.rig import Rig, options_of, rig
from tests.stream.test_http import assert_problem, make_certificate

BOMB = gzip.compress(bytes(50_000_000))
WRONG = {
    "junk": ("gzip", b"junk", 400),
    "junk after the head of gzip": ("gzip", b"\x1f\x8b junk", 400),
    "junk as deflate": ("deflate", b"\xff\xff", 400),
    "nothing": ("gzip", b"", 400),
    "cut off": ("gzip", gzip.compress(b"v=0\r\n" * 20)[:-9], 400),
    "more after the end": ("gzip", gzip.compress(b"v=0\r\n") + b"more", 400),
    "a bomb": ("gzip", BOMB, 413),
    "an encoding that is not known": ("br", b"xx", 415),
    "two encodings": ("gzip, gzip", b"xx", 415),
}
PATHS = {"/whep/redacted": "application/sdp", "/api/v1/session": "application/json"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("wrong", WRONG)
async def test_a_body_that_cannot_be_unpacked_is_a_problem_of_the_sender(
    path: str, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    encoding, body, status = WRONG[wrong]
    headers = {"Content-Type": PATHS[path], "Content-Encoding": encoding}
    async with (
        rig() as r,
        r.http.post(r.url + path, data=body, headers=headers, compress=False) as answer,
    ):
        assert_problem((answer.status, answer.headers.copy(), await answer.text()), status)
        assert ("Accept-Encoding" in answer.headers) == (status == 415)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_bomb_is_not_unpacked_beyond_the_bound() -> None:
    tracemalloc.start()
    with pytest.raises(Refused) as refused:
        _decoded(BOMB, "gzip")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert peak < 1_000_000


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "identity"])
async def test_a_packed_offer_is_taken(encoding: str) -> None:
    async with rig() as r, viewer() as v:
        offer = strip_candidates(await v.offer()).encode()
        packed = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding.lower(), bytes)(offer)
        headers = {"Content-Type": "application/sdp", "Content-Encoding": encoding}
        url = f"{r.url}/whep/redacted"
        async with r.http.post(url, data=packed, headers=headers, compress=False) as answer:
            assert answer.status == 201


def begin(path: str, host: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {PATHS[path]}\r\nContent-Length: 100\r\n\r\nv"
    )
    return head.encode()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("end", ["reset", "close", "rubbish instead of TLS"])
async def test_who_goes_in_the_middle_of_a_body_leaves_no_trace(
    path: str, end: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = make_certificate(tmp_path)
    options = options_of(ice_addresses="loopback", tls_certificate=certificate, tls_key=key)
    async with rig(options) as r:
        await asyncio.to_thread(leave, r, path, end)
        async with r.http.get(f"{r.url}/healthz", ssl=False) as answer:
            assert answer.status == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def leave(r: Rig, path: str, end: str) -> None:
    """Send half a request, and end as told."""
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((r.address.host, r.address.port), 5) as plain, plain.dup() as below:
        shaken = unchecked.wrap_socket(plain)
        shaken.sendall(begin(path, r.address.host))
        time.sleep(0.2)
        if end == "rubbish instead of TLS":
            below.sendall(b"rubbish, and no record of TLS")
            time.sleep(0.2)
        elif end == "reset":
            below.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        shaken.close()
    time.sleep(0.2)


SLASHED = [
    ("GET", "/api/v1/status/", "/api/v1/status"),
    ("GET", "/api/v1/status/?a=b&c=%20", "/api/v1/status?a=b&c=%20"),
    ("POST", "/api/v1/session/", "/api/v1/session"),
    ("DELETE", "/api/v1/users/bob/", "/api/v1/users/bob"),
    ("POST", "/whep/redacted/", "/whep/redacted"),
    ("GET", "/login/", "/login"),
]


@pytest.mark.parametrize(("method", "path", "there"), SLASHED)
async def test_a_slash_too_many_leads_to_the_address_without(method: str, path: str, there: str) -> None:
    async with (
        rig() as r,
        r.http.request(method, r.url + path, allow_redirects=False) as answer,
    ):
        assert (answer.status, answer.headers["Location"]) == (308, there)


async def test_an_offer_to_an_address_with_a_slash_is_answered() -> None:
    async with rig() as r, viewer() as v:
        headers = {"Content-Type": "application/sdp"}
        async with r.http.post(f"{r.url}/whep/redacted/", data=await v.offer(), headers=headers) as answer:
            assert answer.status == 201


@pytest.mark.parametrize(
    "path", ["//evil.example/", "//evil.example/api/v1/status/", "/nothing/", "/api/v1/status//"]
)
async def test_no_slash_leads_elsewhere(path: str) -> None:
    async with rig() as r:
        reader, writer = await asyncio.open_connection(r.address.host, r.address.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {r.address.host}\r\nConnection: close\r\n\r\n".encode())
        told = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert b" 404 " in told.split(b"\r\n")[0]
    assert b"Location" not in told
