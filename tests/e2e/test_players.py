"""Players that are not ours, in Debian's Chromium against the real camera process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Page

from firmware.config.model import ModelCache
from tests.e2e.camera import camera
from tests.stream.browser import chromium, context

pytestmark = [pytest.mark.browser, pytest.mark.models, pytest.mark.timeout(180)]

WHIP_WHEP = Path(__file__).parents[2] / ".venv/npm/node_modules/whip-whep"

MEDIAMTX = """<!doctype html><title>A player</title><video id="video" autoplay muted playsinline></video>
<script type="module">
  // Offers what MediaMTX's own page offers, sends each candidate as it comes, gives up at any refusal.
  const url = new URL(decodeURIComponent(location.hash.slice(1)));
  const pc = window.pc = new RTCPeerConnection({iceServers: []});
  pc.addTransceiver('video', {direction: 'recvonly'});
  pc.addTransceiver('audio', {direction: 'recvonly'});
  pc.createDataChannel('');
  pc.ontrack = ({track}) => {
    if (track.kind === 'video') document.getElementById('video').srcObject = new MediaStream([track]);
  };
  const found = [];
  let session = null;
  window.refused = [];
  const tell = async candidate => {
    const ufrag = pc.localDescription.sdp.match(/a=ice-ufrag:.*/)[0];
    const mid = `m=x 9 RTP/AVP 0\\r\\na=mid:${candidate.sdpMid}`;
    const line = candidate.candidate ? `a=${candidate.candidate}\\r\\n` : '';
    const told = await fetch(session, {
      method: 'PATCH',
      headers: {'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*'},
      body: `${ufrag}\\r\\n${mid}\\r\\n${line}`,
    });
    if (told.status !== 204) { window.refused.push(await told.text()); pc.close(); }
  };
  pc.onicecandidate = ({candidate}) => candidate && (session ? tell(candidate) : found.push(candidate));
  await pc.setLocalDescription(await pc.createOffer());
  const answer = await fetch(url, {
    method: 'POST', headers: {'Content-Type': 'application/sdp'}, body: pc.localDescription.sdp,
  });
  if (answer.status !== 201) throw new Error(await answer.text());
  session = new URL(answer.headers.get('Location'), url);
  window.answer = await answer.text();
  await pc.setRemoteDescription({type: 'answer', sdp: window.answer});
  found.forEach(tell);
</script>"""

WHEP_PAGE = """<!doctype html><title>A player</title><video id="video" autoplay muted playsinline></video>
<script type="module">
  import {WHEPClient} from '/whep.js';
  const pc = window.pc = new RTCPeerConnection({iceServers: []});
  for (const kind of ['audio', 'video']) pc.addTransceiver(kind, {direction: 'recvonly'});
  pc.ontrack = ({track}) => {
    if (track.kind === 'video') document.getElementById('video').srcObject = new MediaStream([track]);
  };
  window.refused = [];
  window.client = new WHEPClient();
  await window.client.view(pc, decodeURIComponent(location.hash.slice(1)));
</script>"""


@asynccontextmanager
async def site() -> AsyncIterator[str]:
    """Another site's server, with a page of each player."""

    async def page(request: web.Request) -> web.Response:
        told = {"mediamtx": MEDIAMTX, "whip-whep": WHEP_PAGE}[request.match_info["player"]]
        return web.Response(text=told, content_type="text/html")

    async def library(request: web.Request) -> web.FileResponse:
        return web.FileResponse(WHIP_WHEP / "whep.js")

    app = web.Application()
    app.router.add_get("/page/{player}", page)
    app.router.add_get("/whep.js", library)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        where = web.TCPSite(runner, "127.0.0.1", 0)
        await where.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def plays(page: Page) -> None:
    """Wait for moving pictures of the camera's size."""
    await page.wait_for_function("() => document.getElementById('video').videoWidth === 1280")
    shown = "document.getElementById('video').getVideoPlaybackQuality().totalVideoFrames"
    before = await page.evaluate(shown)
    await page.wait_for_function(f"() => {shown} >= {before + 20}")


@pytest.mark.parametrize("player", ["mediamtx", "whip-whep"])
async def test_it_plays_on_another_sites_page(player: str, tmp_path: Path, model_cache: ModelCache) -> None:
    with camera(tmp_path / "state") as running:
        async with site() as there, chromium() as browser, context(browser) as ctx:
            page, errors = await ctx.new_page(), []
            page.on("pageerror", lambda error: errors.append(str(error)))
            await page.goto(f"{there}/page/{player}#{running.url}/whep/redacted")
            await plays(page)
            await asyncio.sleep(1)
            assert await page.evaluate("() => [pc.connectionState, refused]") == ["connected", []]
            if player == "mediamtx":
                assert "m=application 0 UDP/DTLS/SCTP" in await page.evaluate("() => answer")
            else:
                await page.evaluate("() => client.stop()")
            assert errors == []
