"""Debian's Chromium without a window, as a viewer's browser."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, BrowserContext, async_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]
PIXELS = """([x, y, w, h]) => new Promise(done => {
  const v = document.getElementById('video');
  v.requestVideoFrameCallback(() => {
    const c = document.createElement('canvas'); c.width = v.videoWidth; c.height = v.videoHeight;
    const g = c.getContext('2d', {willReadFrequently: true}); g.drawImage(v, 0, 0);
    const d = g.getImageData(x, y, w, h).data, mean = [0, 0, 0], lo = [255, 255, 255], hi = [0, 0, 0];
    for (let i = 0; i < d.length; i += 4) for (let k = 0; k < 3; k++) {
      mean[k] += d[i + k] / (d.length / 4);
      lo[k] = Math.min(lo[k], d[i + k]); hi[k] = Math.max(hi[k], d[i + k]);
    }
    done({mean, lo, hi});
  });
})"""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as play:
        browser = await play.chromium.launch(
            executable_path="/usr/bin/chromium", headless=True, args=ARGUMENTS
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def context(
    browser: Browser, *, permission: bool = True, **more: object
) -> AsyncIterator[BrowserContext]:
    """A fresh profile; without `permission` Chromium does not enumerate its addresses."""
    given = ["camera", "microphone"] if permission else []
    made = await browser.new_context(permissions=given, **json.loads(json.dumps(more)))
    try:
        yield made
    finally:
        await made.close()
