"""Axe finds no violation of WCAG 2.2 AA, on any page, in either theme; and nothing needs a mouse."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.axe import violations
from tests.dashboard.conftest import OpenTab
from tests.dashboard.showcase import Showcase
from tests.support.stack import Project
from tests.support.static_host import StaticHost

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, Scheme] = ("light", "dark")
PHONE = (390, 844)
ROUTES = {
    "#/jobs": "Nightly backup",
    "#/jobs/sync-stats": "Median",
    "#/jobs/mirror-podcasts": "Its agent is offline",
    "#/jobs/no-such-job": "No agent mirrors a job of this id",
    "#/runs": "Sync statistics",
    "#/timeline": "Nightly backup",
    "#/agents": "config.yaml:31",
    "#/connections": "Sign in at the provider",
    "#/notifications": "Attic is offline",
    "#/settings": "Your projects",
    "#/no-such-page": "There is no such page",
}
"""Every page, and a text that is there when it is whole."""


async def whole(page: Page, text: str) -> None:
    await expect(page.get_by_text(text).filter(visible=True).first).to_be_visible()


@pytest.fixture
def showcase(project: Project) -> Showcase:
    filled = Showcase(project.stack.dsn, project.project_id)
    filled.fill()
    filled.begin_sign_in(project.admin.user_id)
    return filled


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_every_page_is_accessible(
    open_tab: OpenTab, project: Project, showcase: Showcase, scheme: Scheme
) -> None:
    tab = await open_tab(project.admin, scheme=scheme)
    (request,) = project.sql(
        "select id from cron_run_requests where project_id = %s and status = 'error'", project.project_id
    )
    routes = ROUTES | {f"#/runs/{showcase.live_run}": "drafting", f"#/requests/{request['id']}": "exit code 1"}
    faults: list[str] = []
    for route, text in routes.items():
        await tab.go(route)
        await whole(tab.page, text)
        faults += [f"{route}: {each}" for each in await violations(tab.page)]
    assert faults == []


BEYOND = """() => [...document.querySelectorAll('body *')]
  .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
  .slice(0, 5).map((each) => `${each.tagName} ${each.getAttribute('class')}`)"""


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_every_page_is_accessible_on_a_phone(
    open_tab: OpenTab, project: Project, showcase: Showcase, scheme: Scheme
) -> None:
    tab = await open_tab(project.admin, scheme=scheme, size=PHONE)
    faults: list[str] = []
    for route, text in ROUTES.items():
        await tab.go(route)
        await whole(tab.page, text)
        faults += [f"{route}: {each}" for each in await violations(tab.page)]
        if await tab.page.evaluate("() => document.documentElement.scrollWidth > innerWidth"):
            faults.append(f"{route} is wider than the phone: {await tab.page.evaluate(BEYOND)}")
    assert faults == []


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_what_opens_over_a_page_is_accessible(
    open_tab: OpenTab, project: Project, showcase: Showcase, scheme: Scheme
) -> None:
    tab = await open_tab(project.admin, "#/agents", scheme=scheme)
    page = tab.page
    await page.get_by_role("button", name="Pause Mac mini").click()
    await expect(page.get_by_role("menu")).to_be_visible()
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Notifications: 3 unread").click()
    await expect(page.get_by_role("dialog").get_by_text("Attic is offline")).to_be_visible()
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await tab.go("#/jobs/resize-image")
    await page.get_by_role("button", name="Run Resize image").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await tab.go("#/timeline")
    row = page.get_by_role("listbox").first
    await row.focus()
    await page.keyboard.press("ArrowRight")
    assert await violations(page) == []


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_the_screens_before_the_pages_are_accessible(
    open_tab: OpenTab, project: Project, tmp_path: Path, scheme: Scheme
) -> None:
    tab = await open_tab(scheme=scheme)
    await expect(tab.page.get_by_label("E-mail")).to_be_visible()
    assert await violations(tab.page) == []
    with StaticHost(tmp_path) as host:
        tab.expects("404")  # there is no config.json, which is the point
        await tab.page.goto(host.home)
        await expect(tab.page.get_by_label("Publishable key")).to_be_visible()
        assert await violations(tab.page) == []


# ── without a mouse ──────────────────────────────────────────────────────────

UNREACHED = """
() => [...document.querySelectorAll('a[href], button, input, textarea, [role=button], [role=listbox], [role=tab]')]
  .filter(each => each.checkVisibility() && !each.disabled && each.closest('[aria-hidden=true]') === null)
  .filter(each => each.tabIndex < 0 && each.closest('[role=radiogroup], [role=row]') === null && each.type !== 'hidden')
  .map(each => each.outerHTML.slice(0, 160))
"""
"""What a mouse could use and the Tab key would pass over. In a group of
radio buttons and in rows the arrow keys go on."""


@pytest.mark.parametrize(
    "route", ["#/jobs", "#/jobs/sync-stats", "#/runs", "#/timeline", "#/agents", "#/connections", "#/notifications"]
)
async def test_the_tab_key_reaches_whatever_a_mouse_can_use(
    open_tab: OpenTab, project: Project, showcase: Showcase, route: str
) -> None:
    tab = await open_tab(project.admin, route)
    await whole(tab.page, ROUTES[route])
    assert await tab.page.evaluate(UNREACHED) == []
    assert await walk(tab.page) >= 8


async def walk(page: Page, most: int = 400) -> int:
    """Press Tab until the way begins again; how many stops it has. Each is seen and shows that it has the focus."""
    stops: set[str] = set()
    for _ in range(most):
        await page.keyboard.press("Tab")
        stop = await page.evaluate(STOP)
        if stop is None or stop["key"] in stops:
            break
        assert stop["seen"], stop
        assert stop["shown"], stop
        stops.add(stop["key"])
    return len(stops)


STOP = """
() => {
  const at = document.activeElement
  if (at === null || at === document.body) return null
  // A radio button or checkbox is drawn by its label.
  const drawn = at.matches('[type=radio], [type=checkbox]') ? (at.labels[0] ?? at) : at
  const style = getComputedStyle(drawn), box = drawn.getBoundingClientRect()
  window.stops ??= new Map()
  if (!window.stops.has(at)) window.stops.set(at, String(window.stops.size))
  return {
    key: window.stops.get(at), html: at.outerHTML.slice(0, 160), seen: box.width > 0 && box.height > 0,
    shown: style.outlineStyle !== 'none' || style.boxShadow !== 'none' || at.matches('input, textarea, select'),
  }
}
"""
