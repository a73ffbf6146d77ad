"""How quick the page has to be: first rows, updates, scrolling.

What it really is, alone on its machine, is in `docs/benchmarks.md` (`make bench`). A test machine is busy with other
tests: a turn that was disturbed may be taken again, updates get a multiple of their bar, tasks count by processor time.
The build holds what JavaScript may weigh.
"""

from __future__ import annotations

from functools import partial

import pytest
from playwright.async_api import Browser, expect

from agent.cli.demo.operator import Operator
from bench import dashboard, tab
from bench.dashboard import GOAL_PAINT_MS, GOAL_TASK_MS, GOAL_UPDATE_MS
from bench.figures import Effort, percentiles
from bench.ground import Ground
from tests.dashboard.conftest import AgentWith, OpenTab
from tests.dashboard.job_rows import job_row, job_table
from tests.dashboard.showcase import Showcase
from tests.e2e.conftest import ended
from tests.support.stack import Project
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.xdist_group("bars")]

TURNS = 5
BUSY = 3
"""What a machine with other tests beside may take of the p95 of updates."""
REQUESTS = 30
ROWS = 5000


async def test_the_first_rows_are_there_within_a_second_and_a_half_of_a_cold_start(
    open_tab: OpenTab, browser: Browser, project: Project
) -> None:
    Showcase(project.stack.dsn, project.project_id).fill()
    signed_in = await open_tab(project.operator)
    await expect(job_row(signed_in.page, "nightly-backup")).to_be_visible()
    kept = await signed_in.page.context.storage_state()
    took: list[float] = []
    while len(took) < TURNS and not any(each <= GOAL_PAINT_MS for each in took):
        profile = await browser.new_context(storage_state=kept)
        took.append(await tab.first_rows_ms(profile, f"{project.url}/#/jobs"))
        await profile.close()
    assert min(took) <= GOAL_PAINT_MS, took


async def test_an_update_is_shown_soon_after_the_agent_wrote_it(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    await agent_with("jobs:\n  tick: {shell: 'sleep 0.3'}\n")
    page = (await open_tab(project.operator)).page
    await expect(job_row(page, "tick")).to_be_visible()
    await expect(page.get_by_role("button", name="Live")).to_be_visible()
    await tab.watch_statuses(page)
    for _ in range(REQUESTS):
        await ended(operator, (await operator.press_run("tick"))["id"])
    await wait_until(partial(_all_done, page))

    rows, seen = project.sql(dashboard.ENDED, project.project_id), await tab.shown(page)
    delays = tab.delays_ms(rows, seen, "running", "claimed") + tab.delays_ms(rows, seen, "done", "ended")
    assert len(delays) == 2 * REQUESTS
    assert min(delays) > -5  # one clock: nothing is shown before it is written
    figures = percentiles(delays, 50, 95)
    assert figures["p50_ms"] <= GOAL_UPDATE_MS, figures
    assert figures["p95_ms"] <= BUSY * GOAL_UPDATE_MS, figures


async def _all_done(page: tab.Page) -> bool:
    return sum("done" in each for each in (await tab.shown(page)).values()) == REQUESTS


async def test_five_thousand_rows_scroll_without_a_task_that_one_would_feel(
    open_tab: OpenTab, project: Project
) -> None:
    project.sql(dashboard.ADD_JOBS, project.project_id, ROWS)
    project.sql(dashboard.ADD_RUNS, 5, project.project_id)
    page = (await open_tab(project.operator)).page
    await expect(job_table(page)).to_have_attribute("aria-rowcount", str(ROWS + 1))
    await expect(page.locator(".strip").first).to_be_visible()
    longest: list[float] = []
    while len(longest) < TURNS and not any(each <= GOAL_TASK_MS for each in longest):
        scrolled = await tab.scroll_by_processor(page, tab.Path(jumps=15, rest_ms=150))
        assert scrolled["last_row"] == ROWS - 1
        assert scrolled["tasks"] > scrolled["frames"]
        longest.append(scrolled["longest_task_ms"])
    assert min(longest) <= GOAL_TASK_MS, longest


async def test_the_figures_in_the_documents_are_made_by_a_program_that_works() -> None:
    async with Ground() as ground:
        measured = await dashboard.measure(ground, Effort(quick=True))
    assert [each["what"] for each in measured["goals"]] == [
        "first rows of 100 jobs, the slowest load (ms)",
        "an update shown, p95 (ms)",
        "longest task, 200 rows scrolled (ms)",
    ]
    assert measured["update shown"]["all"]["updates"] == 2 * dashboard.QUICK_UPDATES
    assert measured["scrolling"]["200 jobs"]["last_row"] == 199
