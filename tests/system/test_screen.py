"""The page of a bench's screen in a real browser, and what is read out of pictures of it, even poor ones."""

import cv2
import numpy as np
import pytest
from playwright.async_api import Page

from firmware.config.model import ModelCache
from firmware.core.frames import Plane
from hil import clock
from hil.screen import Screen, now_ms, serving
from tests.stream.browser import chromium, context

pytestmark = [pytest.mark.models, pytest.mark.timeout(120)]


async def shot(page: Page) -> Plane:
    png = np.frombuffer(await page.screenshot(), np.uint8)
    return np.asarray(cv2.imdecode(png, cv2.IMREAD_COLOR), np.uint8)


def by_camera(picture: Plane) -> Plane:
    """Make of a screen what a camera beside its axis would: smaller, askew, soft, dim, noisy, compressed."""
    height, width = picture.shape[:2]
    there = np.float32([(0, 0), (width, 0), (width, height), (0, height)])
    here = np.float32([(170, 90), (1100, 130), (1060, 640), (200, 600)])
    seen = cv2.warpPerspective(picture, cv2.getPerspectiveTransform(there, here), (1280, 720))
    noise = np.random.default_rng(1).normal(0, 6, seen.shape)
    seen = cv2.GaussianBlur(seen, (0, 0), 1.5) * 0.7 + 20 + noise
    jpeg = cv2.imencode(".jpg", np.clip(seen, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)


async def exact(screen: Screen, page: Page) -> None:
    for value in (0, 1, 0x5555, 0x8000, 0xFFFF, 0x1_8001, 112_232_083_264):
        await screen.show("clock", value)
        for picture in (await shot(page), by_camera(await shot(page))):
            straight = clock.screen(picture)
            assert straight is not None
            assert clock.ticks(straight) == value % 0x10000


async def test_a_browsers_page_is_read_as_it_was_told(model_cache: ModelCache) -> None:
    async with (
        serving("127.0.0.1") as screen,
        chromium() as browser,
        context(browser, viewport={"width": 1280, "height": 720}) as ctx,
    ):
        page = await ctx.new_page()
        await page.goto(screen.where)
        await exact(screen, page)

        await screen.show("clock")
        straight = clock.screen(await shot(page))
        assert straight is not None
        read = clock.ticks(straight)
        assert read is not None
        assert clock.age_ms(read, now_ms()) < 60_000, "the suite's clock, not another one's"

        await screen.show("face")
        straight = clock.screen(by_camera(await shot(page)))
        assert straight is not None
        assert clock.ticks(straight) is None
        assert straight[300:420, 590:690].std() > 20, "a face is in the middle"
        await screen.show("nothing")
        assert clock.screen(np.full((720, 1280, 3), 119, np.uint8)) is None


@pytest.mark.parametrize("now", [0.0, 16.0 * 5, 1e12])
def test_an_age_outlives_the_clocks_end(now: float) -> None:
    read = int((now - 100) // 16) % (1 << 16)
    assert 100 <= clock.age_ms(read, now) < 116
