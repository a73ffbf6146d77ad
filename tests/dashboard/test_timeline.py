"""The timeline: what was, what will be, walked along by arrow keys."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

from agent.cli.demo.operator import Operator
from tests.dashboard.conftest import AgentWith, OpenTab
from tests.dashboard.showcase import Showcase
from tests.e2e.conftest import ended
from tests.support.stack import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def test_a_run_of_a_real_agent_shows_and_opens_by_keyboard(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    await agent_with("jobs:\n  tick: {name: Tick, schedule: '0 0 1 1 *', run: [echo, tick]}\n")
    tab = await open_tab(project.operator, "#/timeline")
    page = tab.page
    await expect(page.get_by_text("no runs")).to_be_visible()

    await ended(operator, (await operator.press_run("tick"))["id"])

    row = page.get_by_role("listbox", name="Tick")
    await expect(row.get_by_role("option", name=re.compile("^ok · "))).to_be_attached()
    await row.focus()
    await page.keyboard.press("ArrowRight")
    await expect(row.get_by_role("option", selected=True)).to_have_accessible_name(re.compile("^ok · "))
    (run,) = await operator.select("cron_runs")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/#/runs/{run['id']}")
    await page.go_back()
    await expect(page.get_by_role("heading", name="Timeline")).to_be_visible()


async def test_what_is_expected_follows_the_schedule_and_a_pause_takes_it_away(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    await agent_with("jobs:\n  tick: {name: Tick, schedule: '30 */4 * * *', run: [echo, tick]}\n")
    tab = await open_tab(project.operator, "#/timeline?show=next")
    expected = tab.page.get_by_role("listbox", name="Tick").get_by_role("option")
    await expect(expected).to_have_count(6)

    await operator.rpc("cron_set_paused", p_agent="mac")

    await expect(tab.page.get_by_text("no runs · paused")).to_be_visible()


async def test_the_choice_of_hours_order_and_search_are_in_the_address(open_tab: OpenTab, project: Project) -> None:
    Showcase(project.stack.dsn, project.project_id).fill()
    tab = await open_tab(project.viewer, "#/timeline?show=past&q=media")
    page = tab.page
    names = page.get_by_role("listitem").get_by_role("link")
    await expect(names).to_have_text(["Import photos", "Mirror podcasts", "Resize image"])
    await expect(page.get_by_role("radio", name="Last 24 h")).to_be_checked()

    await page.get_by_label("Search").fill("photo")
    await expect(names).to_have_text(["Import photos"])
    await page.reload()
    await expect(names).to_have_text(["Import photos"])

    await tab.go("#/timeline?order=next")
    await expect(names.first).to_have_text("Health check")  # every five minutes


async def test_missed_slots_and_failures_are_marks_of_their_own(open_tab: OpenTab, project: Project) -> None:
    Showcase(project.stack.dsn, project.project_id).fill()
    tab = await open_tab(project.viewer, "#/timeline")
    stats = tab.page.get_by_role("listbox", name="Sync statistics")
    await expect(stats).to_have_accessible_name(re.compile(r"\d failed, \d missed"))
    await expect(stats.locator("[data-status=error]").first).to_be_visible()
    await expect(stats.locator("[data-status=missed]").first).to_be_visible()


STILL = """\
insert into cron_runs (id, project_id, job_id, agent_id, trigger, scheduled_for, status, started_at, duration_ms)
values (gen_random_uuid(), %s, 'tick', 'mac', 'schedule', %s, 'running', %s, null)"""


async def test_an_update_leaves_what_the_keyboard_chose_where_it_is(open_tab: OpenTab, project: Project) -> None:
    project.sql("insert into cron_mirror (project_id, job_id, name) values (%s, 'tick', 'Tick')", project.project_id)
    now = datetime.now(UTC)
    for hours in (9, 6):
        project.sql(STILL.replace("'running'", "'ok'"), project.project_id, *[now - timedelta(hours=hours)] * 2)
    page = (await open_tab(project.viewer, "#/timeline")).page
    row = page.get_by_role("listbox", name="Tick")
    await expect(row.get_by_role("option")).to_have_count(2)
    await row.focus()
    await page.keyboard.press("End")
    chosen = row.get_by_role("option", selected=True)
    before = str(await chosen.get_attribute("aria-label"))

    # Running ones show at once: one before what is chosen, one behind it.
    for hours in (7, 1):
        project.sql(STILL, project.project_id, *[now - timedelta(hours=hours)] * 2)

    await expect(row.get_by_role("option")).to_have_count(4)
    await expect(row).to_be_focused()
    await expect(chosen).to_have_attribute("aria-label", before)
    await page.keyboard.press("ArrowLeft")
    await expect(chosen).to_have_attribute("data-status", "running")
