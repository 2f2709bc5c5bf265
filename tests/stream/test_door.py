"""Connections that ask nothing: bounded, timed, and in nobody's way."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from firmware.stream import door, visitor
from firmware.stream.door import Door, allowed
from tests.stream.peer import viewer
from tests.stream.rig import Rig, options_of, rig
from tests.stream.test_http import ask, make_certificate

HALF = [b"", b"GET / HTT", b"POST /whep/redacted HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nv=0"]


async def callers(door_: Door, *addresses: str) -> list[bool]:
    """Knock from each address in turn; returns who was let in."""
    pairs = [socket.socketpair() for _ in addresses]
    try:
        knocking = zip(pairs, addresses, strict=True)
        return [door_.admit(ours, address) is not None for (ours, _), address in knocking]
    finally:
        for pair in pairs:
            for one in pair:
                one.close()


async def test_over_its_bound_an_address_loses_its_oldest_connection() -> None:
    few = Door(most=8, per_address=3)
    assert await callers(few, *["192.0.2.1"] * 5) == [True] * 5
    assert (len(few), few.refused) == (3, 2)


async def test_over_the_bound_the_greediest_address_gives_way() -> None:
    few = Door(most=4, per_address=3)
    assert await callers(few, *["192.0.2.1"] * 3, "192.0.2.2", "192.0.2.3") == [True] * 5
    assert sorted(caller.address for caller in few._inside) == ["192.0.2.1"] * 2 + ["192.0.2.2", "192.0.2.3"]


async def test_who_is_being_answered_does_not_give_way() -> None:
    few = Door(most=2, per_address=2)
    await callers(few, "192.0.2.1", "192.0.2.1")
    with contextlib.ExitStack() as answered:
        for caller in few._inside:
            answered.enter_context(caller.answered())
        assert await callers(few, "192.0.2.2") == [False]


async def test_a_network_of_ipv6_addresses_counts_as_one() -> None:
    few = Door(most=8, per_address=2)
    await callers(few, "2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1")
    assert len(few) == 3


def test_connections_get_a_part_of_the_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, most in ((1024, 256), (256, 64), (16, 8), (10**6, 256)):
        monkeypatch.setattr(door.resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        assert allowed() == most


@contextlib.asynccontextmanager
async def half_open(r: Rig, count: int) -> AsyncIterator[list[tuple[asyncio.StreamReader, bytes]]]:
    """Open connections that stop in the middle of a request."""
    held, readers = [], []
    try:
        for n in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", r.address.port)
            held.append(writer)
            readers.append((reader, HALF[n % len(HALF)]))
            writer.write(HALF[n % len(HALF)])
        yield readers
    finally:
        for writer in held:
            writer.close()


async def test_half_open_requests_lock_nobody_out() -> None:
    async with rig(options_of(ice_addresses="loopback"), camera=True) as r, half_open(r, 1100):
        open_here = await asyncio.to_thread(lambda: len(list(Path("/proc/self/fd").iterdir())))
        assert open_here < 1100 + 300, "their ends, and few of ours"
        for _ in range(3):
            async with asyncio.timeout(2), aiohttp.ClientSession() as fresh:
                assert (await fresh.get(f"{r.url}/healthz")).status == 200
        async with viewer() as v:
            code, _, answer = await r.post(await v.offer())
            assert code == 201
            await v.take(answer)
            await v.frame()


async def test_half_a_request_is_ended_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "ARRIVING_S", 0.3)
    monkeypatch.setattr(door, "SWEEP_S", 0.05)
    async with rig() as r, half_open(r, 2) as open_:
        for reader, _ in open_:
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
        assert (await ask(r, "GET", "/healthz"))[0] == 200


async def test_a_handshake_that_never_comes_is_ended_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "ARRIVING_S", 0.3)
    monkeypatch.setattr(door, "SWEEP_S", 0.05)
    certificate, key = await asyncio.to_thread(make_certificate, tmp_path)
    async with rig(options_of(tls_certificate=certificate, tls_key=key)) as r:
        reader, writer = await asyncio.open_connection("127.0.0.1", r.address.port)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()


MALFORMED = [
    b"\0\1\2\3" * 20 + b"\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost y\r\n\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 200 + b"\r\n",
]


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
async def test_malformed_requests_are_answered_without_versions_and_tracebacks(
    text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with rig() as r:
        reader, writer = await asyncio.open_connection("127.0.0.1", r.address.port)
        writer.write(text)
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
    assert answer.partition(b" ")[2].startswith(b"400 "), answer
    for tell in (b"aiohttp", b"Python", b"Traceback", b"rror handling"):
        assert tell not in answer
    assert b"Server: veilcam\r\n" in answer
    assert not any(record.exc_info for record in caplog.records if record.levelno >= logging.INFO)


async def test_running_out_of_descriptors_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(visitor, "ACCEPT_PAUSE_S", 0.01)
    async with rig() as r:
        loop = asyncio.get_running_loop()
        accept, fails = loop.sock_accept, 3

        async def failing(listening: socket.socket) -> tuple[socket.socket, object]:
            nonlocal fails
            if fails:
                fails -= 1
                raise OSError(24, "Too many open files")
            return await accept(listening)

        monkeypatch.setattr(loop, "sock_accept", failing)
        for _ in range(3):
            async with aiohttp.ClientSession() as fresh, fresh.get(f"{r.url}/healthz") as answer:
                assert answer.status == 200
    assert fails == 0
    assert "Too many open files" in caplog.text
