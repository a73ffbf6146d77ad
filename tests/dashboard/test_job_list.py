"""The list of jobs: found, filtered, sorted, kept in the address, readable at every width; its cards and its strips."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.dashboard.conftest import OpenTab
from tests.dashboard.job_rows import glance, job_ids, job_row, job_table, says
from tests.dashboard.showcase import Showcase
from tests.support.stack import Project
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def showcase(project: Project) -> Showcase:
    filled = Showcase(project.stack.dsn, project.project_id)
    filled.fill()
    return filled


async def lists(page: Page, *wanted: str) -> None:
    """These jobs and no others, in this order."""

    async def look() -> bool:
        return await job_ids(page) == list(wanted)

    await wait_until(look)


@pytest.mark.usefixtures("showcase")
async def test_the_project_in_six_numbers(open_tab: OpenTab, project: Project) -> None:
    (failing,) = project.sql(
        "select count(distinct job_id) as jobs from cron_runs where project_id = %s and started_at > now() - "
        "interval '24 h' and status in ('error', 'timeout', 'lost')",
        project.project_id,
    )
    # A run without a request of its own, and a request whose run is not told of yet.
    project.sql(
        "update cron_runs set request_id = null, job_id = 'sync-stats' "
        "where project_id = %s and request_id is not null",
        project.project_id,
    )
    page = (await open_tab(project.viewer)).page
    await expect(glance(page, "Jobs")).to_have_text("Jobs12")
    await expect(glance(page, "Enabled")).to_have_text("Enabled11")
    await expect(glance(page, "Failing in 24 h")).to_have_text(f"Failing in 24 h{failing['jobs']}")
    await expect(glance(page, "Running now")).to_have_text("Running now2")
    await expect(glance(page, "Queued")).to_have_text(re.compile(r"^Queued2oldest 2[56] min ago$"))
    await expect(glance(page, "Agents online")).to_have_text("Agents online2 of 3")
    tones = {"Jobs": None, "Failing in 24 h": "red", "Running now": "blue", "Queued": "yellow", "Agents online": "red"}
    for name, tone in tones.items():
        assert await glance(page, name).get_attribute("data-tone") == tone


FAILED = """\
insert into cron_runs (id, project_id, job_id, agent_id, trigger, status, started_at, finished_at, duration_ms)
select gen_random_uuid(), %s, case n when 1100 then 'seldom' else 'often' end, 'mac', 'request', 'error', at, at, 5
from generate_series(1, 1100) n, lateral (select now() - n * interval '1 min' as at) each"""


async def test_who_failed_is_counted_however_often_others_did(open_tab: OpenTab, project: Project) -> None:
    """PostgREST cuts at 1,000 rows without a word."""
    project.sql(FAILED, project.project_id)
    page = (await open_tab(project.viewer)).page
    await expect(glance(page, "Failing in 24 h")).to_have_text("Failing in 24 h2")


@pytest.mark.usefixtures("showcase")
async def test_jobs_are_found_by_name_id_and_tag_and_filtered_and_the_address_keeps_it(
    open_tab: OpenTab, project: Project
) -> None:
    project.sql("update cron_mirror set last_status = 'ok' where job_id = 'vacuum-database'")  # weekly, it depends
    page = (await open_tab(project.operator)).page
    search = page.get_by_label("Search jobs")
    await expect(page.get_by_text("12 jobs", exact=True)).to_be_visible()
    for words, *found in (
        ("NIGHTLY", "nightly-backup"),  # in the name
        ("sync-st", "sync-stats"),  # in the id
        ("money", "invoice-sync"),  # a tag
        ("web check", "health-check"),  # a tag and a name
    ):
        await search.fill(words)
        await lists(page, *found)
    await search.fill("no such thing")
    await expect(page.get_by_text("No job matches these filters")).to_be_visible()
    await search.fill("")

    await page.get_by_role("radiogroup", name="Enabled").get_by_text("Disabled", exact=True).click()
    await lists(page, "old-report")
    await page.get_by_role("radiogroup", name="Enabled").get_by_text("Enabled", exact=True).click()
    await expect(page.get_by_text("11 of 12 jobs")).to_be_visible()
    await choose_status(page, "Queued")
    await lists(page, "mirror-podcasts")
    await choose_status(page, "Running")
    await lists(page, "inbox-triage")
    await choose_status(page, "Never run")
    await lists(page, "resize-image")
    await search.fill("ima")
    assert page.url.endswith("#/jobs?enabled=yes&status=never&q=ima")

    await page.reload()
    await lists(page, "resize-image")
    await expect(search).to_have_value("ima")
    await expect(page.get_by_role("combobox", name="Status")).to_have_value("Never run")
    await expect(page.get_by_role("radio", name="Enabled")).to_be_checked()
    await job_row(page, "resize-image").get_by_role("link", name="Resize image").click()
    await expect(page.get_by_role("heading", name="Resize image")).to_be_visible()
    await page.go_back()
    await lists(page, "resize-image")


async def choose_status(page: Page, label: str) -> None:
    await page.get_by_role("combobox", name="Status").click()
    await page.get_by_role("option", name=label, exact=True).click()


SORTED = """\
update cron_mirror set
  next_run_at = case job_id when 'b' then now() + interval '1 h' when 'c' then now() + interval '1 min' end,
  last_run_at = case job_id when 'a' then now() - interval '1 h' when 'd' then now() - interval '1 min' end,
  last_duration_ms = case job_id when 'a' then 5 when 'd' then 900 end,
  last_status = case job_id when 'a' then 'ok' when 'd' then 'error' end,
  schedule_expr = case job_id when 'c' then '* * * * *' else '0 3 * * *' end, schedule_kind = 'cron',
  agent_ids = case when job_id < 'c' then '{studio}'::text[] else '{attic}' end
where project_id = %s"""


async def test_each_column_sorts_both_ways_and_the_address_keeps_it(open_tab: OpenTab, project: Project) -> None:
    for job_id, name in (("a", "Delta"), ("b", "alpha"), ("c", "Charlie"), ("d", "bravo")):
        add_job(project, job_id, name)
    project.sql(SORTED, project.project_id)
    page = (await open_tab(project.viewer)).page
    await lists(page, *"bdca")
    for name, once, twice in (
        ("Job", "acdb", "bdca"),  # by name it is sorted already
        ("Schedule", "abdc", "cabd"),
        ("Next run", "cbad", "bcad"),  # the soonest first; what has none comes last, either way
        ("Status", "dabc", "bcad"),  # trouble first
        ("Last run", "dabc", "adbc"),  # the newest first
        ("Duration", "dabc", "adbc"),
        ("Agent", "cdab", "abcd"),
    ):
        header = job_table(page).get_by_role("columnheader", name=name)
        for wanted in (once, twice):
            await header.get_by_role("button").click()
            await lists(page, *wanted)
        await expect(header).to_have_attribute("aria-sort", re.compile("ending$"))
    assert re.search(r"#/jobs\?sort=agent&order=desc$", page.url)
    await page.reload()
    await expect(job_table(page).locator("[aria-sort]")).to_have_text("Agent")
    await lists(page, *"abcd")


def add_job(project: Project, job_id: str, name: str, **more: object) -> None:
    columns = {"project_id": project.project_id, "job_id": job_id, "name": name, **more}
    names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
    project.sql(f"insert into cron_mirror ({names}) values ({places})", *columns.values())  # noqa: S608 - our own


WIDTHS = {"usual": (1280, 800), "wide": (1440, 900), "widest": (1920, 1080), "tablet": (1024, 768), "phone": (390, 844)}
CUT = "each => each.scrollWidth > each.clientWidth + 1 || each.scrollHeight > each.clientHeight + 1"


@pytest.mark.usefixtures("showcase")
@pytest.mark.parametrize("width", WIDTHS)
async def test_a_row_says_everything_at_every_width(open_tab: OpenTab, project: Project, width: str) -> None:
    page = (await open_tab(project.operator, size=WIDTHS[width])).page
    row = job_row(page, "health-check")
    await expect(row.get_by_text("Every 5 minutes", exact=True)).to_be_visible()
    for text in ("*/5 * * * *", "Europe/Berlin", "health-check", "GET https://status", "mac-mini", "yaml"):
        await expect(row.get_by_text(text).first).to_be_visible()
    await expect(row.locator(".jobs-next time")).to_have_text(re.compile("^(in|now)"))
    await expect(row.locator(".jobs-last time")).to_have_text(re.compile("ago|now"))
    await expect(row.locator(".jobs-duration")).to_have_text(re.compile(r"\d (ms|s)$"))
    await expect(row.get_by_role("group", name=re.compile("^Last 20 runs"))).to_be_visible()
    await expect(row.get_by_role("button", name="Run Health check")).to_be_in_viewport()
    await uncut(row.locator(".jobs-schedule *"))
    await uncut(job_row(page, "inbox-triage").locator(".jobs-schedule *"))  # Every 30 minutes, 08:00–20:59
    sideways = await page.locator(".jobs").evaluate("each => each.scrollWidth > each.clientWidth + 1")
    assert not sideways


async def uncut(texts: Locator) -> None:
    cut = [await each.inner_text() for each in await texts.all() if await each.evaluate(CUT)]
    assert cut == []


@pytest.mark.usefixtures("showcase")
async def test_the_exact_time_of_the_next_run_is_on_hover_in_the_zone_of_the_job(
    open_tab: OpenTab, project: Project
) -> None:
    page = (await open_tab(project.viewer, timezone_id="America/New_York")).page
    nightly = job_row(page, "nightly-backup").locator(".jobs-next time")
    await nightly.hover()
    await expect(nightly).to_have_attribute("title", re.compile(r", 03:00:00 (CET|CEST|GMT\+[12])$"))
    last = job_row(page, "nightly-backup").locator(".jobs-last time")
    await last.hover()
    await expect(last).to_have_attribute("title", re.compile(r", 03:00:00 (CET|CEST|GMT\+[12])$"))


@pytest.mark.usefixtures("showcase")
async def test_each_bar_of_a_strip_says_what_it_is_and_opens_its_run(open_tab: OpenTab, project: Project) -> None:
    runs = project.sql(
        "select id, status from cron_runs where project_id = %s and job_id = 'invoice-sync' "
        "order by coalesce(started_at, scheduled_for) desc limit 20",
        project.project_id,
    )
    page = (await open_tab(project.viewer, size=(1440, 900))).page
    strip = job_row(page, "invoice-sync").get_by_role("group", name=re.compile("^Last 20 runs"))
    await expect(strip).to_be_visible()
    box = await strip.bounding_box()
    assert box is not None
    for place in (0, 7, 19):  # from the left, the oldest
        run = runs[19 - place]
        await strip.hover(position={"x": (place + 0.4) * box["width"] / 20, "y": 10})
        await expect(strip).to_have_attribute("title", re.compile(f"^{run['status']}"))
        await strip.click(position={"x": (place + 0.4) * box["width"] / 20, "y": 10})
        await page.wait_for_url(f"**/#/runs/{run['id']}")
        await page.go_back()
        await expect(strip).to_be_visible()


async def test_a_row_keeps_the_keyboard_wherever_an_update_puts_it(open_tab: OpenTab, project: Project) -> None:
    for number in range(40):
        add_job(project, f"job-{number:02}", f"Job {number:02}", last_status="ok")
    page = (await open_tab(project.viewer, "#/jobs?sort=status")).page
    await expect(page.get_by_role("button", name="Live")).to_be_visible()
    await job_row(page, "job-02").focus()

    # Far beyond what is drawn: failed ones come first.
    project.sql(
        "update cron_mirror set last_status = 'error' where project_id = %s and job_id > 'job-02'", project.project_id
    )
    await expect(job_table(page).locator("[data-index='0']")).to_have_attribute("data-job", "job-03")
    await says(job_table(page).locator("[data-index='0']"), "error")
    await expect(job_row(page, "job-02")).to_be_focused()
    await expect(job_row(page, "job-02")).to_have_attribute("data-index", "39")

    await page.keyboard.press("ArrowUp")
    await expect(job_row(page, "job-01")).to_be_focused()
    await expect(job_row(page, "job-01")).to_be_in_viewport()
    add_job(project, "first", "A first one", last_status="error")
    await expect(job_table(page)).to_have_attribute("aria-rowcount", "42")
    await expect(job_row(page, "job-01")).to_be_focused()
