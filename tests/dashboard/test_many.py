"""A thousand jobs: found, drawn a few at a time, and never the first page alone."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.dashboard.conftest import OpenTab
from tests.support.stack import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

COUNT = 1005
"""PostgREST cuts at 1,000 rows without a word."""


@pytest.fixture
def many(project: Project) -> Project:
    project.sql(
        "insert into cron_mirror (project_id, job_id, name, schedule_kind, schedule_expr, tz, agent_ids, next_run_at) "
        "select %s, 'job-' || lpad(n::text, 4, '0'), 'Job number ' || lpad(n::text, 4, '0'), 'cron', '*/5 * * * *', "
        "'UTC', '{mac}', to_timestamp(ceil(extract(epoch from now()) / 300) * 300) "
        "from generate_series(1, %s) n",
        *(project.project_id, COUNT),
    )
    project.sql(
        "insert into cron_runs (id, project_id, job_id, agent_id, trigger, scheduled_for, status, started_at, "
        "finished_at, duration_ms) "
        "select gen_random_uuid(), %s, 'job-' || lpad(n::text, 4, '0'), 'mac', 'schedule', at, 'ok', at, "
        "at + interval '2 s', 2000 from generate_series(1, %s) n, "
        "generate_series(date_trunc('hour', now()) - interval '9 h', now(), interval '1 h') at",
        *(project.project_id, COUNT),
    )
    return project


async def test_the_timeline_draws_what_is_seen_and_reaches_the_last(open_tab: OpenTab, many: Project) -> None:
    tab = await open_tab(many.viewer, "#/timeline")
    page = tab.page
    rows = page.get_by_role("listitem")
    await expect(page.get_by_role("link", name="Job number 0001")).to_be_visible()
    await expect(page.get_by_role("listbox", name="Job number 0001")).to_be_visible()
    assert await rows.count() < 60

    await page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")

    await expect(page.get_by_role("link", name=f"Job number {COUNT}")).to_be_visible()
    await expect(
        page.get_by_role("listbox", name=f"Job number {COUNT}").locator("[data-status=ok]").first
    ).to_be_visible()
    assert await rows.count() < 60

    await page.get_by_label("Search").fill("0777")
    await expect(rows).to_have_count(1)


async def test_the_list_of_jobs_knows_them_all(open_tab: OpenTab, many: Project) -> None:
    tab = await open_tab(many.viewer, "#/jobs")
    page = tab.page
    await expect(page.get_by_text("Job number 0001").first).to_be_visible()
    assert await page.locator("[data-index], tbody tr").count() < 200
    await expect(page.get_by_text(f"{COUNT:,}").or_(page.get_by_text(str(COUNT))).first).to_be_visible()
    await page.get_by_role("textbox", name="Search").or_(page.get_by_label("Search")).first.fill("job-1005")
    await expect(page.get_by_text(f"Job number {COUNT}").first).to_be_visible()
