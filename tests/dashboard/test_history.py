"""The history of runs: every run and every missed slot, filtered, page by page, by deep link."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from agent.cli.demo.operator import Operator
from tests.dashboard.conftest import AgentWith, OpenTab
from tests.dashboard.test_output import ask
from tests.e2e.conftest import ended
from tests.support.stack import Project
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

INSERT = """\
insert into cron_runs (
  id, project_id, job_id, agent_id, trigger, status, reason,
  exit_code, duration_ms, scheduled_for, started_at, finished_at
)
select
  gen_random_uuid(), '{project}', 'job-' || n, 'mini', '{trigger}', '{status}', {reason},
  0, 1200, {slot}, {start}, now()
from generate_series({first}, {last}) n"""
BEFORE = "now() - n * interval '1 minute'"


def past(project: Project, status: str, first: int, last: int, *, trigger: str = "schedule", reason: str = "") -> None:
    """Runs of `n` minutes ago, one job each."""
    missed = status == "missed"
    told = {"reason": f"'{reason}'" if reason else "null", "slot": BEFORE, "start": "null" if missed else BEFORE}
    where = {"project": project.project_id, "status": status, "trigger": trigger, "first": first, "last": last}
    project.sql(INSERT.format(**told, **where))


async def rows(page: Page) -> list[str]:
    return [text.strip() for text in await page.locator("tr[data-run] a").all_inner_texts()]


async def shows(page: Page, wanted: list[str]) -> None:
    found = page.locator("tr[data-run] a")
    await expect(found).to_have_text(wanted)


def jobs(first: int, last: int) -> list[str]:
    return [f"job-{number}" for number in range(first, last + 1)]


async def test_pages_lead_into_the_past_and_the_browser_leads_back(open_tab: OpenTab, project: Project) -> None:
    past(project, "ok", 1, 120)
    page = (await open_tab(project.viewer, "#/runs")).page

    await shows(page, jobs(1, 50))
    await page.get_by_role("button", name="Older").click()
    await shows(page, jobs(51, 100))
    await page.get_by_role("button", name="Older").click()
    await shows(page, jobs(101, 120))
    await expect(page.get_by_role("button", name="Older")).to_be_disabled()
    await page.reload()
    await shows(page, jobs(101, 120))
    await page.go_back()
    await shows(page, jobs(51, 100))
    await page.get_by_role("button", name="Newest").click()
    await shows(page, jobs(1, 50))


async def test_filters_narrow_the_list_and_live_in_the_address(open_tab: OpenTab, project: Project) -> None:
    past(project, "ok", 1, 3)
    past(project, "error", 4, 5, reason="exit_code")
    past(project, "missed", 6, 6, reason="asleep")
    past(project, "ok", 7, 7, trigger="startup")
    tab = await open_tab(project.viewer, "#/runs")
    page = tab.page
    await shows(page, jobs(1, 7))

    await page.get_by_role("button", name="Failed").click()
    await shows(page, jobs(4, 5))
    assert "status=error" in page.url
    await page.get_by_role("button", name="All").click()
    await page.get_by_label("Because of").first.click()
    await page.get_by_role("option", name="startup").click()
    await shows(page, jobs(7, 7))
    await tab.go("#/runs?status=ok,missed&trigger=schedule")
    await shows(page, [*jobs(1, 3), *jobs(6, 6)])
    await tab.go("#/runs?job=job-5")
    await shows(page, jobs(5, 5))
    await tab.go("#/runs?agent=nobody")
    await expect(page.get_by_text("No run fits these filters")).to_be_visible()


async def test_time_narrows_the_list_to_the_minute(open_tab: OpenTab, project: Project) -> None:
    past(project, "ok", 1, 30)
    page = (await open_tab(project.viewer, "#/runs")).page
    await shows(page, jobs(1, 30))
    local = """minutes => {
      const at = new Date(Date.now() - minutes * 60000)
      return new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16)
    }"""

    await page.get_by_label("From").fill(await page.evaluate(local, 20))
    await page.get_by_label("Before").fill(await page.evaluate(local, 10))

    async def narrowed() -> bool:
        seen = await rows(page)
        return 8 <= len(seen) <= 11 and seen[0] in jobs(10, 12) and seen[-1] in jobs(19, 21)

    await wait_until(narrowed)


async def test_a_missed_slot_says_why_and_has_a_page_without_output(open_tab: OpenTab, project: Project) -> None:
    past(project, "missed", 1, 1, reason="asleep")
    page = (await open_tab(project.viewer, "#/runs")).page

    row = page.locator("tr[data-run]")
    await expect(row).to_contain_text("The machine was asleep at this time.")
    await row.get_by_role("link").click()
    await expect(page.get_by_role("alert").filter(has_text="Asleep")).to_be_visible()
    await expect(page.get_by_text("Recorded as missed")).to_be_visible()
    await expect(page.get_by_role("region", name="Output", exact=True)).to_have_count(0)


async def test_a_new_run_appears_and_ends_without_a_reload(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    await agent_with("jobs:\n  hello: {name: Say hello, run: [echo, hello]}\n")
    page = (await open_tab(project.operator, "#/runs")).page
    await expect(page.get_by_text("Nothing has run yet")).to_be_visible()

    await ended(operator, await ask(operator, "hello"))

    row = page.locator("tr[data-run]")
    await expect(row).to_contain_text("Say hello")
    await expect(row.locator("[data-status=ok]")).to_be_visible()
    await row.get_by_role("link").click()
    await page.wait_for_url(re.compile(r"#/runs/[0-9a-f-]{36}$"))


async def test_a_phone_needs_no_sideways_scrolling(open_tab: OpenTab, project: Project) -> None:
    past(project, "error", 1, 3, reason="exit_code")
    tab = await open_tab(project.viewer, "#/runs", size=(390, 844))
    await shows(tab.page, jobs(1, 3))
    wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await tab.page.evaluate(wide) == 0
    await tab.page.locator("tr[data-run] a").first.click()
    await expect(tab.page.get_by_text("What happened when")).to_be_visible()
    assert await tab.page.evaluate(wide) == 0
