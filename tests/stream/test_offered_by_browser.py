"""Whatever real pages offer, Debian's Chromium plays the answer."""

from collections.abc import Mapping

import pytest

from tests.stream.browser import chromium, context
from tests.stream.rig import WIDTH, rig

pytestmark = pytest.mark.browser

PLAY = """async ([url, make, configuration]) => {
  const pc = window.pc = new RTCPeerConnection({iceServers: [], ...configuration});
  const video = document.createElement('video');
  video.id = 'shown'; video.muted = true; video.autoplay = true; document.body.append(video);
  pc.ontrack = e => {
    if (e.track.kind === 'video' && !video.srcObject) video.srcObject = new MediaStream([e.track]);
  };
  for (const one of make) {
    if (one === 'data') pc.createDataChannel('');
    else { const [kind, direction] = one.split(' '); pc.addTransceiver(kind, {direction}); }
  }
  await pc.setLocalDescription(await pc.createOffer());
  const offer = pc.localDescription.sdp, headers = {'Content-Type': 'application/sdp'};
  const answered = await fetch(url, {method: 'POST', headers, body: offer});
  const sdp = await answered.text();
  if (answered.status !== 201) return [answered.status, sdp, offer];
  await pc.setRemoteDescription({type: 'answer', sdp});
  return [201, sdp, offer];
}"""
SHOWN = "document.getElementById('shown').videoWidth"

PAGES: Mapping[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "MediaMTX's": (("video recvonly", "audio recvonly", "data"), {}),
    "sound first": (("audio recvonly", "video recvonly", "data"), {}),
    "one transport from the beginning": (
        ("audio recvonly", "video recvonly", "data"),
        {"bundlePolicy": "max-bundle"},
    ),
    "a transport each": (("audio recvonly", "video recvonly", "data"), {"bundlePolicy": "max-compat"}),
    "data first": (("data", "video recvonly"), {}),
    "two videos": (("video recvonly", "video recvonly"), {}),
    "a video to send before": (("video sendonly", "video recvonly"), {}),
    "both directions": (("video sendrecv", "audio sendrecv"), {}),
}


@pytest.mark.parametrize("page", PAGES)
async def test_it_plays(page: str) -> None:
    make, configuration = PAGES[page]
    async with rig(camera=True) as r, chromium() as browser, context(browser) as ctx:
        opened = await ctx.new_page()
        await opened.goto(r.url + "/privacy")
        told = await opened.evaluate(PLAY, [f"{r.url}/whep/redacted", make, configuration])
        assert told[0] == 201, told
        await opened.wait_for_function(f"() => {SHOWN} === {WIDTH}")
        assert await opened.evaluate("() => pc.connectionState") == "connected"
