"""Prints what a Firefox receives of the camera; to be run in a network that has a way out (python -m)."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from tests.stream.firefox import firefox
from tests.stream.rig import options_of, rig

RECEIVES = """(async () => {
  const peer = new RTCPeerConnection();
  peer.addTransceiver('video', {direction: 'recvonly'});
  await peer.setLocalDescription(await peer.createOffer());
  const offer = peer.localDescription.sdp, type = offer.match(/a=rtpmap:(\\d+) VP8/)[1];
  const response = await fetch('/whep/redacted', {
    method: 'POST', headers: {'Content-Type': 'application/sdp'},
    body: offer.replace(`a=rtpmap:${type} VP8/`, `a=rtpmap:${type} H264/`).replace(
      new RegExp(`a=fmtp:${type} .*`), `a=fmtp:${type} profile-level-id=42e01f;packetization-mode=1`),
  });
  const answer = await response.text();
  if (response.status !== 201) return {answer};
  await peer.setRemoteDescription({type: 'answer', sdp: answer.replace(
    `a=rtpmap:${type} H264/`, `a=rtpmap:${type} VP8/`).replace(new RegExp(`a=fmtp:${type} .*\\r\\n`), '')});
  let video = {};
  for (let n = 0; n < 200 && !(video.packetsReceived > 100); n++) {
    await new Promise(done => setTimeout(done, 50));
    video = [...(await peer.getStats()).values()].find(one => one.type === 'inbound-rtp') ?? {};
  }
  const packets = video.packetsReceived ?? 0, state = peer.connectionState;
  await fetch(response.headers.get('Location'), {method: 'DELETE'});
  peer.close();
  return {packets, state, lost: video.packetsLost, answer};
})()"""
"""Firefox's own offer with H.264 in VP8's place: all but the decoder is what a viewer's Firefox has."""


async def received() -> dict[str, object]:
    """Return its packets and its state: ICE, of which the camera is told no candidate, DTLS and SRTP."""
    with tempfile.TemporaryDirectory() as profile:
        async with rig(options_of(ice_addresses="all"), camera=True) as r, firefox(Path(profile)) as page:
            await page.goto(r.url + "/login")
            told = await page.evaluate(RECEIVES)
            return {**told, "errors": page.errors}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(received())))
