"""Pictures of every page, light, dark and on a phone: `make screenshots` writes them to docs/screenshots/.

The project in them is made up (showcase.py) and stands in a stack of its own that ends with this command.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from playwright.async_api import Browser, Page, async_playwright, expect

from tests.dashboard.showcase import Showcase
from tests.support.browser import chromium
from tests.support.stack import StackThread
from tests.support.static_host import StaticHost

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
PROJECT = "home-lab"
DESK, PHONE = (1180, 760), (390, 844)


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a page is looked at."""

    name: str
    scheme: Literal["light", "dark"]
    size: tuple[int, int]


LOOKS = (
    Look(name="light", scheme="light", size=DESK),
    Look(name="dark", scheme="dark", size=DESK),
    Look(name="phone", scheme="light", size=PHONE),
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One page; whole when `text` is there. `act` does what has to be done before."""

    name: str
    route: str
    text: str
    act: Callable[[Page], Awaitable[Any]] | None = None


async def _ask_for_payload(page: Page) -> None:
    await page.get_by_role("button", name="Run Resize image").click()


async def _show_a_mark(page: Page) -> None:
    row = page.get_by_role("listbox", name="Sync statistics")
    await row.focus()
    for _ in range(40):
        await page.keyboard.press("ArrowRight")


async def _ring(page: Page) -> None:
    await page.get_by_role("button", name="Notifications: 3 unread").click()


def pictures(live_run: UUID | None, request: UUID) -> tuple[Picture, ...]:
    """Of every page."""
    return (
        Picture(name="jobs", route="#/jobs", text="Nightly backup"),
        Picture(name="job", route="#/jobs/sync-stats", text="Median"),
        Picture(name="run-a-job", route="#/jobs/resize-image", text="Keep the original", act=_ask_for_payload),
        Picture(name="runs", route="#/runs", text="Sync statistics"),
        Picture(name="run", route=f"#/runs/{live_run}", text="drafting"),
        Picture(name="request", route=f"#/requests/{request}", text="exit code 1"),
        Picture(name="timeline", route="#/timeline", text="Nightly backup", act=_show_a_mark),
        Picture(name="agents", route="#/agents", text="config.yaml:31"),
        Picture(name="connections", route="#/connections", text="Needs re-authentication"),
        Picture(name="notifications", route="#/notifications", text="Attic is offline"),
        Picture(name="bell", route="#/runs", text="Attic is offline", act=_ring),
        Picture(name="settings", route="#/settings", text="Your projects"),
    )


class Studio:
    """A stack with the made-up project, and a browser before it."""

    def __init__(self, stack: StackThread, browser: Browser, folder: Path) -> None:
        self._stack = stack
        self._browser = browser
        self._folder = folder
        self._showcase = Showcase(stack.dsn, PROJECT)

    async def take_all(self) -> None:
        """Write every picture."""
        self._showcase.fill()
        person = self._stack.create_user("anna@example.com", "a password of nobody")
        self._stack.sql(
            "insert into cron_project_members (project_id, user_id, role) values (%s, %s, 'admin')", PROJECT, person
        )
        self._showcase.begin_sign_in(person)
        (request,) = self._stack.sql("select id from cron_run_requests where status = 'error'")
        for look in LOOKS:
            self._showcase.beat()
            page = await self._page(look)
            await self._take_screens(page, look)
            await page.goto(self._stack.local.invite(person))
            await page.wait_for_url(lambda url: "signin" not in url and "token" not in url)
            for picture in pictures(self._showcase.live_run, request["id"]):
                await page.goto(f"{self._stack.url}/{picture.route}")
                if picture.act:
                    await expect(page.get_by_role("heading", level=1)).to_be_visible()
                    await picture.act(page)
                await expect(page.get_by_text(picture.text).filter(visible=True).first).to_be_visible()
                await self._take(page, picture.name, look)
            await page.context.close()

    async def _page(self, look: Look) -> Page:
        width, height = look.size
        profile = await self._browser.new_context(
            color_scheme=look.scheme,
            viewport={"width": width, "height": height},
            reduced_motion="reduce",
            timezone_id="Europe/Berlin",
        )
        return await profile.new_page()

    async def _take_screens(self, page: Page, look: Look) -> None:
        """What comes before the pages: not configured, not signed in."""
        with tempfile.TemporaryDirectory() as folder, StaticHost(Path(folder)) as host:
            await page.goto(host.home)
            await expect(page.get_by_label("Publishable key")).to_be_visible()
            await self._take(page, "set-up", look)
        await page.goto(f"{self._stack.url}/")
        await expect(page.get_by_label("E-mail")).to_be_visible()
        await self._take(page, "sign-in", look)

    async def _take(self, page: Page, name: str, look: Look) -> None:
        """When nothing loads any more."""
        await expect(page.locator("[aria-busy=true]")).to_have_count(0)
        await page.wait_for_load_state("networkidle")
        path = self._folder / f"{name}-{look.name}.png"
        await page.screenshot(path=path, animations="disabled", caret="hide")
        print(path)  # noqa: T201 - a command's output


async def main(folder: Path) -> None:
    """Take all pictures into `folder`."""
    with tempfile.TemporaryDirectory() as state:
        stack = StackThread(Path(state))
        try:
            await asyncio.to_thread(stack.start)
            await asyncio.to_thread(stack.migrate)
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(
                    executable_path=chromium(),
                    chromium_sandbox=os.geteuid() != 0,
                    args=["--disable-dev-shm-usage", "--disable-gpu"],
                )
                await Studio(stack, browser, folder).take_all()
                await browser.close()
        finally:
            await asyncio.to_thread(stack.close)


if __name__ == "__main__":
    wanted = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    wanted.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(wanted))
