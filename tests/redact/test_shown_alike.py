"""What Chromium shows of a clip before and after: size, shape, length, which side is up, brightness."""

import base64
import threading
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.async_api import Page

from tests.redact.conftest import Run
from tests.redact.odd import film, make, noise, several
from tests.redact.test_odd_clips import COVER, TURNS
from tests.stream.browser import chromium, context

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
PACES = ["thorough", "realtime"]
AT_S = 0.22
"""Between two pictures, so that no rounding decides which one is shown."""
SHOW = """([url, at]) => new Promise((done, failed) => {
  const video = document.createElement('video');
  video.muted = true;
  video.onerror = () => failed(new Error('cannot play ' + url + ': ' + video.error.message));
  video.onloadedmetadata = () => { video.currentTime = at; };
  video.onseeked = () => setTimeout(draw, 50);
  const draw = () => {
    const canvas = document.createElement('canvas');
    canvas.width = 80; canvas.height = 80;
    canvas.getContext('2d').drawImage(video, 0, 0, 80, 80);
    const {videoWidth: width, videoHeight: height, duration: length} = video;
    done({width, height, length, picture: canvas.toDataURL()});
  };
  video.src = url;
})"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing of it."""

    def log_message(self, *words: object) -> None: ...


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


async def shown(page: Page, url: str) -> tuple[dict[str, Any], np.ndarray]:
    told = await page.evaluate(SHOW, [url, AT_S])
    data = base64.b64decode(told.pop("picture").partition(",")[2])
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return told, picture.astype(int)


def odd(folder: Path) -> list[str]:
    """Make a clip of each kind; returns their names."""
    for n, matrix in enumerate(TURNS):
        make(folder / f"turn{n}.mp4", film(), matrix=matrix)
    make(folder / "wide.mp4", film(), aspect=Fraction(64, 45))
    make(folder / "narrow.mp4", film(), aspect=Fraction(1, 2))
    make(folder / "bright.webm", film(), codec="libvpx-vp9", full_range=True)
    make(folder / "bright.mp4", film(), full_range=True)
    make(folder / "slow.mp4", film(6), stamps_ms=[0, 40, 200, 240, 2400, 2440], tail_ms=900)
    several(folder / "cover.mp4", [(film(), "libx264", 1), ([noise(320, 240)], "mjpeg", COVER)])
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=PACES)
def names(request: pytest.FixtureRequest, tmp_path: Path, run: Run) -> list[str]:
    """The clips in the folder `in`, redacted into `out`."""
    (tmp_path / "in").mkdir()
    made = odd(tmp_path / "in")
    assert run(tmp_path / "in", tmp_path / "out", "--pace", request.param) == 0
    return made


async def test_a_browser_shows_the_same(names: list[str], url: str) -> None:
    async with chromium() as browser, context(browser) as ctx:
        page = await ctx.new_page()
        await page.goto(url)
        for name in names:
            before, expected = await shown(page, f"{url}/in/{name}")
            for _ in range(10):  # a busy browser says that it is there before it shows the picture
                after, picture = await shown(page, f"{url}/out/{name}")
                if np.abs(picture - expected).mean() < 8:
                    break
                before, expected = await shown(page, f"{url}/in/{name}")
            assert (after["width"], after["height"]) == (before["width"], before["height"]), name
            assert after["length"] == pytest.approx(before["length"], abs=0.03), name
            assert np.abs(picture - expected).mean() < 8, name
