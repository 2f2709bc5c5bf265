"""Debian's Firefox on the real page, before it has fetched its H.264: it says so, and the rest is true."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stream.firefox import Firefox, firefox
from tests.stream.rig import Rig, options_of, rig, until
from tests.stream.test_people import PASSWORD, send, strong
from tests.stream.test_raw import PURPOSE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
NO_NETWORK = 77
NETWORK = (
    f"ip link set lo up; ip link add v0 type veth peer name v1 || exit {NO_NETWORK}; "
    "ip addr add 10.9.9.1/24 dev v0; ip link set v0 up; ip link set v1 up; "
    "ip route add default via 10.9.9.2 dev v0; exec "
)
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
        assert str(told["curtain"]).startswith("This browser cannot play H.264. Firefox fetches")
        assert told["connection"] == "lost", "it is tried again, when the plugin may have come"
        assert float(str(told["fps"])) > 10, "what the camera says of itself is shown"
        assert told["video"]
        assert not told["wide"]
        assert page.errors == []


def test_the_stream_reaches_a_firefox() -> None:
    """In a network of its own: Firefox tells of no address where the way out is loopback."""
    command = [
        "unshare",
        "--net",
        "sh",
        "-c",
        f'{NETWORK} "$@"',
        "sh",
        sys.executable,
        "-m",
        "tests.stream.received",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode == NO_NETWORK:
        pytest.skip(f"no pair of interfaces here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["state"], told["lost"]) == ("connected", 0), told
    assert told["packets"] > 100
    assert told["errors"] == []


async def test_a_raw_view_that_cannot_be_played_says_so_and_stays(tmp_path: Path) -> None:
    async with rig(options_of(ice_addresses="loopback"), camera=True) as r, firefox(tmp_path) as page:
        ivy, abe = await strong(r, "ivy", "investigator"), await strong(r, "abe", "approver")
        await page.goto(r.url + "/login?next=/grants")
        await page.fill("Name", "ivy")
        await page.fill("Password", PASSWORD)
        await page.press("Log in")
        await until(lambda: page.shows("Code of your authenticator app"), 20)
        await page.fill("Code of your authenticator app", ivy.code(1))
        await page.press("Log in")
        await until(lambda: page.shows("The raw picture"), 20)
        await page.fill("What for", PURPOSE)
        await page.press("Ask")
        await until(lambda: page.shows("Asks for 5 min"), 20)
        (case,) = r.desk.grants.cases()
        approved = await send(r, "POST", f"/api/v1/grants/{case.grant.id}/approve", token=abe.token)
        assert approved[0] == 200
        await page.goto(r.url + "/raw")
        await until(lambda: page.shows("This browser cannot play H.264"), 20)
        assert await page.evaluate("location.pathname") == "/raw"
        assert await page.shows("Your grant, and that you look, are recorded.")
        assert page.errors == []
