"""An RTSP server on loopback that plays one clip: GStreamer's, run by Debian's own python3 (python3-gi).

usage: rtsp_peer.py CLIP [udp] [h265] [PASSWORD]; prints the address once it listens. With `udp` it takes UDP
alone, the clip is H.264 or as said, and a password is asked of the user `watcher`.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer(address="127.0.0.1", service="0")
factory = GstRtspServer.RTSPMediaFactory()
clip, *words = sys.argv[1:]
codec = "h265" if "h265" in words else "h264"
factory.set_launch(
    f'( filesrc location="{clip}" ! qtdemux ! {codec}parse '
    f"! rtp{codec}pay name=pay0 pt=96 config-interval=-1 )"
)
if "udp" in words:
    factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP)
for password in [word for word in words if word not in ("udp", "h265")]:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "watcher")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic("watcher", password), token)
    server.set_auth(auth)
    factory.add_role_from_structure(
        Gst.Structure.new_from_string("watcher,media.factory.access=true,media.factory.construct=true")
    )
server.get_mount_points().add_factory("/live", factory)
server.attach(None)
sys.stdout.write(f"rtsp://127.0.0.1:{server.get_bound_port()}/live\n")
sys.stdout.flush()
GLib.MainLoop().run()
