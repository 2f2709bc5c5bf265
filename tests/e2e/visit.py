"""One visit to a camera: its pages, and its stream for two seconds; prints the ports media may be sent to."""

import asyncio
import sys

import aiohttp

from tests.stream.peer import candidates, viewer

PAGES = ("/", "/privacy", "/api/v1/status", "/api/v1/openapi.json", "/healthz", "/metrics")


async def visit(url: str) -> None:
    async with aiohttp.ClientSession(url) as http, viewer() as watching:
        for page in PAGES:
            async with http.get(page) as answered:
                assert answered.status == 200, (page, answered.status)
        offer = await watching.offer()
        async with http.post(
            "/whep/redacted", data=offer, headers={"Content-Type": "application/sdp"}
        ) as answered:
            assert answered.status == 201, await answered.text()
            await watching.take(await answered.text())
            session = answered.headers["Location"]
        async with asyncio.timeout(20):
            for _ in range(60):
                await watching.frame()
        async with http.delete(session) as answered:
            assert answered.status == 200, answered.status
        for line in candidates(offer):
            sys.stdout.write(f"{line.split()[5]}\n")


if __name__ == "__main__":
    asyncio.run(visit(sys.argv[1]))
