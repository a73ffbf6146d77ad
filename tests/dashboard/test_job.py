"""The page of one job: when, what, how it went, how long it took; and that an update takes no choice away."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from playwright.async_api import Locator, Page, expect

from agent.cli.demo.operator import Operator
from tests.dashboard.conftest import AgentWith, OpenTab
from tests.dashboard.job_rows import says
from tests.e2e.conftest import ended
from tests.support.stack import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

COUNT, SLOW = 30, 12
"""Runs, and which of them (the oldest is the first) took far longer than the others."""


@pytest.fixture
def runs(project: Project) -> list[UUID]:
    """Of a job of every ten minutes, the oldest first; one missed slot besides."""
    project.sql(
        "insert into cron_mirror (project_id, job_id, name, schedule_kind, schedule_expr, tz, agent_ids, source, "
        "instructions, next_run_at, last_status) "
        "values (%s, 'sync', 'Sync', 'cron', '*/10 * * * *', 'Europe/Berlin', '{mac}', 'yaml', 'node sync.js', "
        "to_timestamp(ceil(extract(epoch from now()) / 600) * 600), 'ok')",
        project.project_id,
    )
    ids = [uuid4() for _ in range(COUNT)]
    start = datetime.now(UTC) - timedelta(minutes=10 * COUNT)
    for number, run in enumerate(ids):
        at, took = start + timedelta(minutes=10 * number), 90_000 if number == SLOW else 2000 + 10 * number
        project.sql(
            "insert into cron_runs (id, project_id, job_id, agent_id, trigger, scheduled_for, status, started_at, "
            "finished_at, duration_ms) values (%s, %s, 'sync', 'mac', 'schedule', %s, 'ok', %s, %s, %s)",
            *(run, project.project_id, at, at, at + timedelta(milliseconds=took), took),
        )
    project.sql(
        "insert into cron_runs (id, project_id, job_id, agent_id, trigger, scheduled_for, status, reason, error) "
        "values (gen_random_uuid(), %s, 'sync', 'mac', 'schedule', now() - interval '6 h', 'missed', 'asleep', "
        "'Missed: the machine was asleep at this time.')",
        project.project_id,
    )
    return ids


def chosen(row: Locator) -> Locator:
    return row.get_by_role("option", selected=True)


def region(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name)


async def test_durations_are_drawn_with_what_took_much_longer_than_usual(
    open_tab: OpenTab, project: Project, runs: list[UUID]
) -> None:
    page = (await open_tab(project.viewer, "#/jobs/sync")).page
    durations = region(page, "Durations")
    chart = durations.get_by_role("listbox", name=f"Durations of the last {COUNT} runs of Sync")
    await expect(chart.get_by_role("option")).to_have_count(COUNT)
    outlier = chart.get_by_role("option", name=re.compile("much longer than usual"))
    await expect(outlier).to_have_count(1)
    await expect(outlier).to_have_accessible_name(re.compile(r"^1 m 30 s"))
    await expect(durations).to_contain_text("Median 2.2 s")
    longer = durations.get_by_role("link", name="1 m 30 s")
    await expect(longer).to_have_attribute("href", f"#/runs/{runs[SLOW]}")

    await chart.focus()
    for _ in range(SLOW + 1):
        await page.keyboard.press("ArrowRight")
    await expect(chosen(chart)).to_have_accessible_name(re.compile("much longer than usual"))
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/#/runs/{runs[SLOW]}")


@pytest.mark.usefixtures("runs")
async def test_it_says_when_what_and_how_it_went(open_tab: OpenTab, project: Project) -> None:
    page = (await open_tab(project.operator, "#/jobs/sync")).page
    schedule = region(page, "Schedule")
    await expect(schedule).to_contain_text("Every 10 minutes · Europe/Berlin")
    await expect(schedule).to_contain_text("*/10 * * * *")
    await expect(schedule.get_by_role("listitem")).to_have_count(5)
    await expect(region(page, "Job").last).to_contain_text("yaml")
    await expect(region(page, "What it runs")).to_contain_text("node sync.js")
    history = region(page, "History")
    await expect(history.get_by_role("listbox", name="Last 20 runs of Sync").get_by_role("option")).to_have_count(20)
    await expect(history.get_by_role("row")).to_have_count(11)
    missed = region(page, "What did not run")
    await expect(missed).to_contain_text("the machine was asleep")
    await expect(missed.get_by_role("link")).to_have_count(1)
    await expect(page.get_by_role("button", name="Run Sync")).to_be_visible()


async def test_a_new_run_leaves_what_the_keyboard_chose_where_it_is_in_every_strip(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    await agent_with("jobs:\n  tick: {name: Tick, schedule: '0 0 1 1 *', run: [echo, tick]}\n")
    for _ in range(3):
        await ended(operator, (await operator.press_run("tick"))["id"])
    old = await operator.select("cron_runs", order="started_at")
    tab = await open_tab(project.operator, "#/jobs/tick")
    page = tab.page

    for place, (name, where) in enumerate((("Last 20 runs of Tick", "History"), ("Durations of", "Durations"))):
        row = region(page, where).get_by_role("listbox", name=re.compile(name))
        await expect(row.get_by_role("option")).to_have_count(3 + place)
        await row.focus()
        await page.keyboard.press("Home")
        await page.keyboard.press("ArrowRight")
        before = await chosen(row).get_attribute("aria-label")

        await ended(operator, (await operator.press_run("tick"))["id"])

        await expect(row.get_by_role("option")).to_have_count(4 + place)
        await expect(row).to_be_focused()
        await expect(chosen(row)).to_have_attribute("aria-label", str(before))
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/#/runs/{old[1]['id']}")
        await page.go_back()
        await says(page.get_by_role("main"), "ok")
