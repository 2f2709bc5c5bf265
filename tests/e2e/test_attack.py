"""A browser watches while somebody attacks: half-open requests, floods, sitters, candidates, rubbish.

How many frames a second the browser gets is told and only roughly asked: it depends on the machine.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from firmware.config.model import ModelCache
from tests.e2e.attacker import SDP
from tests.e2e.camera import camera
from tests.e2e.test_browser import COUNT, watching
from tests.stream.peer import viewer

pytestmark = [pytest.mark.browser, pytest.mark.models, pytest.mark.timeout(240)]

SECONDS = float(os.environ.get("VEILCAM_ATTACK_S", "15"))
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_KIB / 1024


async def status(url: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/api/v1/status") as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def test_the_picture_goes_on_for_who_watches(
    tmp_path: Path, model_cache: ModelCache, record_property: Any
) -> None:
    log, offer = tmp_path / "log", tmp_path / "offer"
    async with viewer() as somebody:
        await asyncio.to_thread(offer.write_bytes, (await somebody.offer()).encode())
    with camera(tmp_path / "state", log=log, descriptors=1024) as running:
        async with watching(running.url) as page:
            await asyncio.sleep(8)
            before, frames = await status(running.url), await page.evaluate(COUNT)
            resident = await asyncio.to_thread(resident_mib, running.process.pid)
            begun = asyncio.get_running_loop().time()
            attacker = await asyncio.create_subprocess_exec(
                sys.executable,
                str(Path(__file__).with_name("attacker.py")),
                running.url,
                str(SECONDS),
                str(offer),
                stdout=asyncio.subprocess.PIPE,
            )
            told, _ = await attacker.communicate()
            assert attacker.returncode == 0
            seconds = asyncio.get_running_loop().time() - begun
            shown = (await page.evaluate(COUNT) - frames) / seconds
            after = await status(running.url)
            grown = await asyncio.to_thread(resident_mib, running.process.pid) - resident
        async with viewer() as v, aiohttp.ClientSession() as http:
            posted = http.post(f"{running.url}/whep/redacted", data=await v.offer(), headers=SDP)
            async with posted as answer:
                assert answer.status == 201
                await v.take(await answer.text())
            await v.frame()
    done = json.loads(told)
    blind = after["released"]["blind"] - before["released"]["blind"]
    lines = (await asyncio.to_thread(log.read_text, "utf-8")).splitlines()
    figures = {
        "frames per second at the browser": round(shown, 1),
        "released per second": round(after["released_fps"], 1),
        "blind frames": blind,
        "MiB more": round(grown, 1),
        "log lines": len(lines),
        "seconds": round(seconds, 1),
        "attack": done,
    }
    record_property("figures", json.dumps(figures))
    sys.stderr.write(f"{json.dumps(figures)}\n")
    assert done["half-open"] > 500
    assert done["rubbish"] > 20
    assert shown > 10
    assert grown < 30
    assert len(lines) < 100 * max(1, seconds / 60)
