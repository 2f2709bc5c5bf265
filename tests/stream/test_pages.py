"""The pages in Debian's Chromium: every flow, and axe finds nothing at phone and desktop width."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pyotp
import pytest
from playwright.async_api import BrowserContext, Page

from firmware.access.owner import OwnerKey
from firmware.audit import Act
from tests.stream.browser import chromium, context
from tests.stream.rig import Rig, options_of, rig, until
from tests.stream.test_http import ask
from tests.stream.test_people import PASSWORD, Account, acts, strong

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

AXE = Path(__file__).parents[2] / ".venv/npm/node_modules/axe-core/axe.min.js"
RULES = (
    "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
)
SIZES = ((1280, 800), (390, 844))
PURPOSE = "a bicycle was stolen at nine"


@dataclass
class Desk:
    """A browser window of somebody."""

    page: Page
    r: Rig
    errors: list[str]

    async def go(self, path: str) -> None:
        await self.page.goto(self.r.url + path)

    async def press(self, name: str) -> None:
        await self.page.get_by_role("button", name=name).click()

    async def fill(self, label: str, text: str) -> None:
        await self.page.get_by_label(label, exact=label != "Public key").fill(text)

    async def log_in(self, account: Account, ahead: int = 1) -> None:
        await self.go("/login")
        await self.fill("Name", account.name)
        await self.fill("Password", PASSWORD)
        await self.press("Log in")
        await self.page.get_by_label("Code of your authenticator app").fill(account.code(ahead))
        await self.press("Log in")
        await self.page.get_by_role("button", name=f"Log out {account.name}").wait_for()

    async def look(self, name: str, folder: Path) -> None:
        """Hold the page against axe and both widths; keeps a picture of each for whoever looks."""
        for width, height in SIZES:
            await self.page.set_viewport_size({"width": width, "height": height})
            found = await self.page.evaluate(RULES)
            told = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]
            assert told == [], (name, width)
            assert await self.page.evaluate("() => document.documentElement.scrollWidth") <= width, name
            shot = await self.page.screenshot(full_page=True)
            await asyncio.to_thread((folder / f"{name}-{width}.png").write_bytes, shot)
        await self.page.set_viewport_size({"width": 1280, "height": 800})


@asynccontextmanager
async def window(ctx: BrowserContext, r: Rig) -> AsyncIterator[Desk]:
    page = await ctx.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if "Content Security" in said.text else None)
    await page.add_init_script(path=AXE)
    yield Desk(page, r, errors)
    assert errors == []


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("VEILCAM_SCREENSHOTS", tmp_path))
    folder.mkdir(exist_ok=True)
    return folder


async def test_a_camera_is_claimed_and_its_owner_sets_a_second_factor_up(shots: Path) -> None:
    async with rig() as r, chromium() as browser, context(browser) as ctx, window(ctx, r) as d:
        code = await asyncio.to_thread(r.ownership.first_code)
        await d.go("/claim")
        await d.look("claim", shots)
        await d.fill("Code", str(code))
        await d.fill("Public key", OwnerKey(bytes(range(32)), "at home").line())
        await d.fill("Your name here", "olga")
        await d.fill("Password", PASSWORD)
        await d.press("Claim")
        await d.page.get_by_role("heading", name="Log in").wait_for()
        await d.look("login", shots)
        await d.fill("Name", "olga")
        await d.fill("Password", "something else")
        await d.page.get_by_role("button", name="Log in", exact=True).click()
        await d.page.get_by_text("Name, password or code are not right.").wait_for()
        await d.look("login-refused", shots)
        await d.fill("Password", PASSWORD)
        await d.page.get_by_role("button", name="Log in", exact=True).click()
        await d.page.get_by_role("link", name="Account").click()
        await d.page.get_by_text("needs a second factor").wait_for()
        await d.press("Set one up")
        await d.page.get_by_label("QR code of the secret").wait_for()
        await d.look("account-totp", shots)
        secret = await d.page.locator("[data-secret]").inner_text()
        await d.page.get_by_label("Code", exact=True).fill(pyotp.TOTP(secret).now())
        await d.press("Confirm")
        await d.page.get_by_text("a code is asked for at each log-in").wait_for()
        await d.look("account", shots)
        await d.page.get_by_role("link", name="Users").click()
        await d.fill("Name", "ivy")
        await d.fill("Password", PASSWORD)
        await d.page.get_by_label("investigator").last.check()
        await d.press("Add")
        await d.page.get_by_role("rowheader", name="ivy").wait_for()
        await d.look("users", shots)
        await d.page.get_by_label("Change ivy").click()
        await d.look("users-open", shots)
        assert {person.name for person in r.desk.people.all()} == {"olga", "ivy"}


async def test_raw_is_asked_for_approved_watched_and_ended(shots: Path) -> None:
    async with (
        rig(options_of(ice_addresses="loopback"), camera=True) as r,
        chromium() as browser,
        context(browser) as one,
        context(browser) as two,
        context(browser) as three,
        window(one, r) as ivy,
        window(two, r) as abe,
        window(three, r) as anybody,
    ):
        for name, role, d in (("ivy", "investigator", ivy), ("abe", "approver", abe)):
            await d.log_in(await strong(r, name, role))
        await anybody.go("/")
        assert not await anybody.page.locator("#raw-banner").is_visible()
        await ivy.go("/grants")
        await ivy.look("ask", shots)
        await ivy.fill("What for", PURPOSE)
        await ivy.press("Ask")
        await ivy.page.get_by_text("Asks for 5 min").wait_for()
        await abe.go("/grants")
        await abe.page.get_by_text(PURPOSE).wait_for()
        await abe.look("approve", shots)
        await abe.press("Approve ivy")
        await abe.page.get_by_text("approved by abe").wait_for()
        await ivy.go("/grants")
        await ivy.page.get_by_role("link", name="Watch").click()
        await until(lambda: plays(ivy), 20)
        await ivy.page.get_by_text("You see people unhidden.").wait_for()
        await anybody.page.get_by_text("Somebody sees the picture of this camera unhidden").wait_for()
        await anybody.look("live-banner", shots)
        await ivy.look("raw", shots)
        await abe.press("Revoke ivy")
        await until(lambda: r.desk.grants.any_live() is False, 2)
        await ivy.page.get_by_role("heading", name="Ended lately").wait_for(timeout=20_000)
        await ivy.look("ended", shots)
        await until(lambda: hidden(anybody), 5)


async def plays(d: Desk) -> bool:
    return bool(await d.page.evaluate("document.getElementById('video').videoWidth > 0"))


async def hidden(d: Desk) -> bool:
    return not await d.page.locator("#raw-banner").is_visible()


async def test_the_record_is_filtered_paged_and_exported(shots: Path) -> None:
    async with rig() as r, chromium() as browser, context(browser) as ctx, window(ctx, r) as d:
        await d.log_in(await strong(r, "uma", "auditor"))
        for n in range(150):
            await r.desk.audit.record(Act.SETTINGS, "eve" if n % 2 else "olga", {"revision": n})
        await d.page.get_by_role("link", name="Record").click()
        await d.look("audit", shots)
        assert await d.page.locator("tbody tr").count() == 100
        await d.page.get_by_label("Who").fill("eve")
        await d.page.get_by_label("What").select_option("settings.changed")
        await d.press("Filter")
        await d.page.wait_for_url("**/audit?what=settings.changed&who=eve")
        assert await d.page.locator("tbody tr").count() == 75
        await d.go("/audit")
        await d.page.get_by_role("link", name="Older entries").click()
        assert await d.page.locator("tbody tr").count() >= 50
        async with d.page.expect_download() as download:
            await d.page.get_by_role("link", name="Export the record").click()
        saved = await (await download.value).path()
        text = await asyncio.to_thread(saved.read_text)
        assert text.count("\n") == r.desk.audit.head.n


async def test_a_passkey_is_made_and_logs_in(shots: Path) -> None:
    async with rig() as r, chromium() as browser, context(browser) as ctx, window(ctx, r) as d:
        await strong(r, "ivy", "investigator")
        port = r.url.rpartition(":")[2]
        d.r.url = f"http://localhost:{port}"
        session = await ctx.new_cdp_session(d.page)
        await session.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
        }
        await session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        token, made = r.desk.sessions.begin("ivy", strong=True)
        await ctx.add_cookies([{"name": "veilcam", "value": token, "url": d.r.url}])
        await d.go("/account")
        await d.page.get_by_label("What you call it").fill("my phone")
        await d.press("Add a passkey")
        await d.page.get_by_text("my phone (localhost)").wait_for()
        await d.press("Log out ivy")
        await d.page.get_by_role("link", name="Log in").wait_for()
        await d.go("/login?next=/grants")
        await d.press("Use a passkey")
        await d.page.get_by_role("heading", name="The raw picture").wait_for()
        (person,) = r.desk.people.all()
        assert person.passkeys[0].uses > 0
        assert r.desk.sessions.by_id(made.id) is None
        by = [about["by"] for what, _, about in await acts(r) if what == "session.begun"]
        assert by[-1] == "passkey"
        await d.look("account-passkey", shots)


@pytest.mark.parametrize("path", ["/account", "/grants", "/users", "/audit", "/raw"])
async def test_a_stranger_is_sent_to_the_log_in_and_back_to_pages_of_ours_alone(path: str) -> None:
    async with rig() as r:
        status, headers, _ = await ask(r, "GET", path, allow_redirects=False)
        assert (status, headers["Location"]) == (303, f"/login?next={path}")
        for evil in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
            _, _, text = await ask(r, "GET", "/login", params={"next": evil})
            assert "evil" not in text
            assert "javascript:" not in text


async def test_what_is_sent_before_its_script_has_come_is_in_no_address() -> None:
    async with (
        rig() as r,
        chromium() as browser,
        context(browser, java_script_enabled=False) as ctx,
        window(ctx, r) as d,
    ):
        await strong(r, "ivy", "investigator")
        await d.go("/login")
        await d.fill("Name", "ivy")
        await d.fill("Password", PASSWORD)
        async with d.page.expect_navigation() as sent:
            await d.page.get_by_role("button", name="Log in", exact=True).click()
        answer = await sent.value
        assert answer is not None
        assert (answer.status, answer.request.method) == (403, "POST")
        assert d.page.url == f"{r.url}/login"


async def test_axe_finds_what_is_wrong(shots: Path) -> None:
    async with rig() as r, chromium() as browser, context(browser) as ctx, window(ctx, r) as d:
        # A page without a script that would miss what is taken away here.
        await d.go("/login")
        await d.page.evaluate("document.body.innerHTML = '<img src=\"/static/icon.svg\"><button></button>'")
        found = await d.page.evaluate(RULES)
        assert {"image-alt", "button-name"} <= {one["id"] for one in found["violations"]}
