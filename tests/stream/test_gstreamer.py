"""GStreamer's webrtcbin on the real stream: another ICE, DTLS and decoder than any browser's."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.stream.rig import HEIGHT, MASK, MASK_RGB, WIDTH, options_of, rig

PEER = Path(__file__).with_name("gst_peer.py")


@pytest.mark.timeout(120)
async def test_gstreamer_plays_what_the_camera_sends(tmp_path: Path) -> None:
    async with rig(options_of(ice_addresses="loopback"), camera=True) as r:
        x, y, w, h = MASK
        inner = [str(value) for value in (x + 10, y + 10, w - 20, h - 20)]
        peer = await asyncio.create_subprocess_exec(
            "/usr/bin/python3",
            str(PEER),
            f"{r.url}/whep/redacted",
            *inner,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        )
        said, wrong = await asyncio.wait_for(peer.communicate(), 90)
        assert peer.returncode == 0, wrong.decode()
        told = json.loads(said)
        assert (told["width"], told["height"], told["frames"]) == (WIDTH, HEIGHT, 60)
        assert max(abs(a - b) for a, b in zip(told["mean"], MASK_RGB, strict=True)) < 8, told
        assert await r.sessions() == 0, "it ended its session"
