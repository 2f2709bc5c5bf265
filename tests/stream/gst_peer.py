"""A WHEP player of GStreamer's (webrtcbin, libnice, OpenSSL), run by Debian's own python3 (python3-gi).

usage: gst_peer.py URL X Y W H; prints as JSON what it decoded: size, frames, and the mean colour of a part.
"""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request

import gi

for name in ("Gst", "GstApp", "GstSdp", "GstWebRTC"):
    gi.require_version(name, "1.0")
from gi.repository import Gst, GstApp, GstSdp, GstWebRTC  # noqa: E402

assert GstApp
RTP = "application/x-rtp,media=video,clock-rate=90000"
CAPS = f"{RTP},encoding-name=H264,payload=96,packetization-mode=(string)1"
DECODED = "rtph264depay ! h264parse ! openh264dec ! videoconvert ! video/x-raw,format=RGB"
SINK = f"{DECODED} ! appsink name=out max-buffers=4"
FRAMES, WITHIN_S = 60, 20


class Player:
    """Plays one stream of a camera."""

    def __init__(self, url: str) -> None:
        self._url, self.session = url, ""
        self.pipeline, self._peer = Gst.Pipeline(), Gst.ElementFactory.make("webrtcbin")
        self._peer.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        # By itself it has no candidates on loopback. Kept, because PyGObject takes the only reference.
        self._ice = self._peer.get_property("ice-agent")
        self._ice.emit("add-local-ip-address", "127.0.0.1")
        self._peer.connect("on-negotiation-needed", self._offer)
        self._peer.connect("pad-added", self._decode)
        self.pipeline.add(self._peer)
        receive = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
        self._peer.emit("add-transceiver", receive, Gst.Caps.from_string(CAPS))
        self.pipeline.set_state(Gst.State.PLAYING)

    def _offer(self, peer: Gst.Element) -> None:
        peer.emit("create-offer", None, Gst.Promise.new_with_change_func(self._send))

    def _send(self, promise: Gst.Promise) -> None:
        reply = promise.get_reply()  # what it holds goes with it
        offer = reply.get_value("offer")
        self._peer.emit("set-local-description", offer, Gst.Promise.new())
        headers = {"Content-Type": "application/sdp"}
        asked = urllib.request.Request(self._url, offer.sdp.as_text().encode(), headers)  # noqa: S310
        try:
            with urllib.request.urlopen(asked, timeout=10) as response:  # noqa: S310
                self.session = response.headers["Location"]
                text = response.read().decode()
        except urllib.error.HTTPError as exc:
            sys.exit(f"refused: {exc.read().decode()}\n{offer.sdp.as_text()}")
        _, told = GstSdp.SDPMessage.new_from_text(text)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, told)
        self._peer.emit("set-remote-description", answer, Gst.Promise.new())

    def _decode(self, _peer: Gst.Element, pad: Gst.Pad) -> None:
        made = Gst.parse_bin_from_description(SINK, True)
        self.pipeline.add(made)
        made.sync_state_with_parent()
        pad.link(made.get_static_pad("sink"))

    def frames(self, count: int) -> "list[Gst.Sample]":
        """Return the first pictures, as many as come in time."""
        found: list[Gst.Sample] = []
        for _ in range(WITHIN_S * 10):
            out = self.pipeline.get_by_name("out")
            sample = out.emit("try-pull-sample", Gst.SECOND // 10) if out else None
            if sample:
                found.append(sample)
            elif not out:
                self.pipeline.get_bus().timed_pop(Gst.SECOND // 10)
            if len(found) == count:
                break
        return found


def mean(sample: "Gst.Sample", x: int, y: int, w: int, h: int) -> tuple[int, int, list[float]]:
    """Return a picture's size and the mean colour of a part of it."""
    told = sample.get_caps().get_structure(0)
    width, height = told.get_value("width"), told.get_value("height")
    buffer = sample.get_buffer()
    data = buffer.extract_dup(0, buffer.get_size())
    stride = len(data) // height
    rows = [data[stride * row + 3 * x : stride * row + 3 * (x + w)] for row in range(y, y + h)]
    return width, height, [sum(sum(row[k::3]) for row in rows) / (w * h) for k in range(3)]


Gst.init(None)
player = Player(sys.argv[1])
shown = player.frames(FRAMES)
if not shown:
    sys.exit("no picture came")
width, height, colour = mean(shown[-1], *map(int, sys.argv[2:6]))
player.pipeline.set_state(Gst.State.NULL)
ended = urllib.request.Request(urllib.parse.urljoin(sys.argv[1], player.session), method="DELETE")  # noqa: S310
urllib.request.urlopen(ended, timeout=10).close()  # noqa: S310
said = {"frames": len(shown), "width": width, "height": height, "mean": colour}
sys.stdout.write(json.dumps(said) + "\n")
