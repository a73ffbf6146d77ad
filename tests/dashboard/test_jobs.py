"""The Jobs page with a real agent: Run, by mouse and by keyboard, seen live to its end, cancelled, asked for again."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from playwright.async_api import Page, expect

from agent.cli.demo.operator import Operator
from tests.dashboard.conftest import AgentWith, OpenTab
from tests.dashboard.job_rows import glance, job_row, job_table, requests, says
from tests.e2e.conftest import ended
from tests.support.processes import alive
from tests.support.stack import Project
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TOAST = "Queued run request. Will execute when mac picks it up."


def jobs(gate: Path) -> str:
    """One that goes on until the gate is there and says who it is, one that fails, one that does nothing."""
    return f"""\
jobs:
  hold: {{name: Hold the door, shell: 'echo $$ > {gate}.pid; while [ ! -e {gate} ]; do sleep 0.05; done'}}
  broken: {{name: Broken thing, shell: 'echo no >&2; exit 3'}}
  idle: {{name: Idle hands, run: ['true']}}
"""


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def let_go(gate: Path) -> None:
    gate.touch()


async def pause(page: Page, what: str) -> None:
    await page.get_by_role("button", name="Pause the project").click()
    await page.get_by_role("menuitem", name=what).click()
    await expect(page.get_by_text("This project is paused")).to_be_visible()


async def test_a_row_goes_live_from_queued_to_running_to_done_around_a_pause_of_the_project(
    open_tab: OpenTab, agent_with: AgentWith, project: Project, gate: Path
) -> None:
    await agent_with(jobs(gate))
    page = (await open_tab(project.operator)).page
    row = job_row(page, "hold")
    await expect(row).to_contain_text("never run")
    await expect(glance(page, "Queued")).to_have_text("Queued0")
    await pause(page, "Everything, until resumed")

    await row.get_by_role("button", name="Run Hold the door").click()

    await expect(page.get_by_text(TOAST, exact=True)).to_be_visible()
    await says(row, "queued")
    await says(requests(page).first, "queued")
    await expect(glance(page, "Queued")).to_contain_text("1oldest")
    await expect(glance(page, "Queued")).to_have_attribute("data-tone", "yellow")

    await page.get_by_role("button", name="Resume the project").click()

    await expect(page.get_by_text("This project is paused")).to_be_hidden()
    await expect(page.get_by_role("button", name="Pause the project")).to_be_visible()
    await says(row, "running")
    await says(requests(page).first, "running")
    await expect(requests(page).first).to_contain_text("on mac")
    await expect(glance(page, "Running now")).to_have_text("Running now1")
    await expect(glance(page, "Queued")).to_have_text("Queued0")

    let_go(gate)

    await says(row, "ok")
    await says(requests(page).first, "done")
    await expect(glance(page, "Running now")).to_have_text("Running now0")
    await expect(row.locator(".jobs-last time")).to_be_visible()
    await expect(row.locator(".jobs-duration")).to_contain_text("s")
    await expect(row.get_by_role("group")).to_have_accessible_name("Last 1 runs: 1 ok")


async def test_a_run_that_fails_turns_its_row_red_and_is_counted(
    open_tab: OpenTab, agent_with: AgentWith, project: Project, gate: Path
) -> None:
    await agent_with(jobs(gate))
    page = (await open_tab(project.operator)).page
    await expect(glance(page, "Failing in 24 h")).to_have_text("Failing in 24 h0")
    row = job_row(page, "broken")

    for times in (1, 2):
        await row.get_by_role("button", name="Run Broken thing").click()
        await expect(requests(page)).to_have_count(times)
        await says(requests(page).first, "error")
        await says(row, "error")

    await expect(row).to_contain_text("2 in a row")
    await expect(glance(page, "Failing in 24 h")).to_have_text("Failing in 24 h1")  # jobs, not runs
    await expect(glance(page, "Failing in 24 h")).to_have_attribute("data-tone", "red")
    await requests(page).first.locator("[data-status]").hover()
    await expect(page.get_by_role("tooltip")).to_contain_text("Exit code 3.")


async def test_everything_is_done_by_keyboard_alone(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project, gate: Path
) -> None:
    await agent_with(jobs(gate))
    page = (await open_tab(project.operator)).page
    await expect(job_row(page, "hold")).to_be_visible()

    await page.keyboard.press("/")
    await expect(page.get_by_label("Search jobs")).to_be_focused()
    await tab_to_rows(page)
    await expect(job_row(page, "broken")).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(job_row(page, "hold")).to_be_focused()
    await page.keyboard.press("r")
    await expect(page.get_by_text(TOAST, exact=True)).to_be_visible()
    await says(job_row(page, "hold"), "running")
    await expect(job_row(page, "hold")).to_be_focused()
    await page.keyboard.press("c")
    await says(job_row(page, "hold"), "cancelled")
    (request,) = await operator.select("cron_run_requests")
    assert request["result"]["reason"] == "cancelled"

    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("r")
    await says(job_row(page, "broken"), "error")
    runs = job_row(page, "broken").get_by_role("group", name="Last 1 runs").get_by_role("link")
    await expect(runs).to_have_count(1)
    await page.keyboard.press("ArrowLeft")
    await expect(runs.last).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(job_row(page, "broken")).to_be_focused()
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/#/runs/*")

    await page.go_back()
    await expect(job_row(page, "broken")).to_be_visible()
    await page.keyboard.press("/")
    await tab_to_rows(page)
    await page.keyboard.press("End")
    await page.keyboard.press("Home")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/#/jobs/broken")
    await expect(page.get_by_role("heading", name="Broken thing")).to_be_visible()


async def tab_to_rows(page: Page) -> None:
    """Until one of them has the focus."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await page.evaluate("() => document.activeElement?.dataset.job !== undefined"):
            return
    raise AssertionError("the Tab key does not reach the rows")


async def test_a_running_job_is_cancelled_from_its_row_to_its_last_process_and_two_tabs_show_the_same(
    open_tab: OpenTab, agent_with: AgentWith, project: Project, gate: Path
) -> None:
    await agent_with(jobs(gate))
    one = await open_tab(project.operator)
    other = await open_tab(beside=one)
    viewer = await open_tab(project.viewer)
    pages = [one.page, other.page, viewer.page]
    for page in pages:
        await expect(job_row(page, "hold")).to_be_visible()

    await job_row(one.page, "hold").get_by_role("button", name="Run Hold the door").click()
    for page in pages:
        await says(job_row(page, "hold"), "running")
        await says(requests(page).first, "running")
    pid = int(await wait_until(lambda: _read(gate.with_name("gate.pid"))))

    await job_row(other.page, "hold").get_by_role("button", name="Cancel Hold the door").click()

    for page in pages:
        await says(job_row(page, "hold"), "cancelled")
        await says(requests(page).first, "cancelled")
        await expect(page.get_by_role("button", name="Cancel Hold the door")).to_have_count(0)
        await expect(glance(page, "Running now")).to_have_text("Running now0")
    await wait_until(lambda: not alive(pid))


def _read(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


async def test_a_viewer_watches_and_no_key_of_theirs_runs_anything(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project, gate: Path
) -> None:
    await agent_with(jobs(gate))
    page = (await open_tab(project.viewer)).page
    await expect(job_row(page, "idle")).to_be_visible()
    await expect(page.get_by_text("Nobody has pressed Run yet")).to_be_visible()
    await tab_to_rows(page)
    for key in ("r", "c", "R"):
        await page.keyboard.press(key)

    request = await operator.press_run("idle")  # somebody else's
    await ended(operator, request["id"])

    await says(requests(page).first, "done")
    await says(job_row(page, "idle"), "ok")
    await expect(page.get_by_role("button", name="Run again: Idle hands")).to_have_count(0)
    await expect(job_table(page).get_by_role("button", name=re.compile("^(Run|Cancel)"))).to_have_count(0)
    assert len(await operator.select("cron_run_requests")) == 1


OLD = """\
insert into cron_run_requests
  (project_id, job_id, requested_by, requested_at, run_at, status, picked_up_at, completed_at, result)
select %s, 'idle', 'somebody', now() - n * interval '1 minute', now(), 'done', now(), now(), '{"ok": true}'
from generate_series(1, 25) n"""


async def test_the_last_twenty_requests_are_listed_live_and_one_of_them_is_run_again(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project, gate: Path
) -> None:
    await agent_with(jobs(gate))
    with psycopg.connect(project.stack.dsn) as db:
        db.execute("set session_replication_role = replica")  # past the trigger that makes them queued
        db.execute(OLD, [project.project_id])
    page = (await open_tab(project.operator)).page
    await expect(requests(page)).to_have_count(20)
    await expect(requests(page).last).to_contain_text("20 min ago by somebody")

    await requests(page).last.get_by_role("button", name="Run again: Idle hands").click()

    await expect(requests(page).last).to_contain_text("19 min ago by somebody")
    await expect(requests(page)).to_have_count(20)
    await says(requests(page).first, "done")
    await says(job_row(page, "idle"), "ok")
    newest, *_ = await operator.select("cron_run_requests", order="requested_at.desc", limit="1")
    assert (newest["job_id"], newest["claimed_by"]) == ("idle", "mac")
    await requests(page).first.get_by_role("link").click()
    await page.wait_for_url(f"**/#/requests/{newest['id']}")
