"""Supabase goes away under an open page and comes back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.async_api import expect

from agent.cli.demo.operator import Operator
from tests.dashboard.conftest import AgentWith, OpenTab, Tab
from tests.dashboard.showcase import Showcase
from tests.e2e.conftest import ended
from tests.support.stack import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

REFUSED = "ERR_CONNECTION_REFUSED|WebSocket connection|ERR_SOCKET|ERR_EMPTY|ERR_CONNECTION_RESET"


@pytest.fixture
def supabase(project: Project) -> Iterator[Callable[[bool], None]]:
    """`supabase(False)` takes the gateway away, `supabase(True)` brings it back; it is there after the test."""
    there = True

    def put(wanted: bool) -> None:
        nonlocal there
        if wanted != there:
            (project.stack.start_gateway if wanted else project.stack.stop_gateway)()
        there = wanted

    yield put
    put(True)


async def open_pages(tab: Tab, *routes: str) -> None:
    """A page's code is loaded when it is first opened; without the server that would be the failure that is seen."""
    for route in routes:
        await tab.go(route)
        await expect(tab.page.get_by_role("heading", level=1)).to_be_visible()


async def test_what_was_known_stays_marked_and_is_right_again_afterwards(
    open_tab: OpenTab, project: Project, supabase: Callable[[bool], None]
) -> None:
    Showcase(project.stack.dsn, project.project_id).fill()
    tab = await open_tab(project.operator)
    tab.expects(REFUSED)
    page = tab.page
    await open_pages(tab, "#/agents", "#/timeline", "#/jobs")
    await expect(page.get_by_text("Nightly backup").first).to_be_visible()

    supabase(False)

    await expect(page.get_by_role("button", name="Offline")).to_be_visible()
    await expect(page.get_by_text("Last known data").first).to_be_visible()
    await expect(page.get_by_text("Nightly backup").first).to_be_visible()
    await tab.go("#/agents")
    await expect(page.get_by_role("heading", name="Mac mini")).to_be_visible()
    await expect(page.get_by_text("Last known data").first).to_be_visible()

    supabase(True)

    await expect(page.get_by_text("Last known data")).to_have_count(0)
    await expect(page.get_by_role("button", name="Live")).to_be_visible()


async def test_a_run_that_happened_meanwhile_shows_when_supabase_is_back(
    open_tab: OpenTab,
    agent_with: AgentWith,
    operator: Operator,
    project: Project,
    supabase: Callable[[bool], None],
) -> None:
    await agent_with("jobs:\n  tick: {name: Tick, every: 2s, run: [echo, tick]}\n")
    tab = await open_tab(project.viewer, "#/jobs/tick")
    tab.expects(REFUSED)
    await expect(tab.page.get_by_role("heading", name="Tick")).to_be_visible()

    supabase(False)
    await expect(tab.page.get_by_role("button", name="Offline")).to_be_visible()
    supabase(True)

    await ended(operator, (await operator.press_run("tick"))["id"])
    await expect(tab.page.get_by_role("table").get_by_text("request").first).to_be_visible()
    await expect(tab.page.get_by_text(re.compile("Last known"))).to_have_count(0)
