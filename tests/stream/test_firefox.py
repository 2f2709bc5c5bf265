"""Debian's Firefox on the real page, before it has fetched its H.264: it says so, and the rest is true."""

from pathlib import Path

import pytest

from tests.stream.firefox import Firefox, firefox
from tests.stream.rig import Rig, rig, until

pytestmark = pytest.mark.browser

SHOWN = """({
  badge: document.getElementById('badge-text').textContent,
  curtain: document.getElementById('curtain').textContent,
  connection: document.getElementById('connection').dataset.state,
  fps: document.getElementById('camera-fps').textContent,
  video: 'requestVideoFrameCallback' in document.getElementById('video'),
  wide: document.documentElement.scrollWidth > innerWidth,
})"""
OFFER = "new RTCPeerConnection().createOffer({offerToReceiveVideo: true}).then(offer => offer.sdp)"


async def shown(page: Firefox, r: Rig) -> dict[str, object]:
    await page.goto(r.url + "/")

    async def known() -> bool:
        told = await page.evaluate(SHOWN)
        return told["badge"] == "Verified" and told["connection"] in ("lost", "live")

    await until(known, 30)
    return dict(await page.evaluate(SHOWN))


async def test_the_page_says_what_a_firefox_without_h264_is_missing(tmp_path: Path) -> None:
    """Firefox has its H.264 from its maker, over a network that tests have not: nothing is played here."""
    async with rig(camera=True) as r, firefox(tmp_path) as page:
        told = await shown(page, r)
        assert "H264" not in await page.evaluate(OFFER), "it could play: this test has to be another"
        assert str(told["curtain"]).startswith(
            "This browser cannot play H.264. Firefox fetches"
        )
        assert told["connection"] == "lost", "it is tried again, when the plugin may have come"
        assert float(str(told["fps"])) > 10, "what the camera says of itself is shown"
        assert told["video"]
        assert not told["wide"]
        assert page.errors == []
