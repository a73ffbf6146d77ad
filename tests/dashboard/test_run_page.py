"""The page of a run and of a request: cancel, run again, attempts, what happened when, two tabs in step."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.async_api import Page, expect

from agent.cli.demo.operator import Operator
from tests.dashboard.conftest import AgentWith, OpenTab
from tests.dashboard.test_output import HOLD, ask, jobs, screen
from tests.e2e.conftest import ended
from tests.support.processes import alive
from tests.support.stack import Project
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PAYLOAD = """\
jobs:
  resize:
    run: [cat]
    payload: {type: object, properties: {width: {type: integer}}, required: [width]}
  flaky: {shell: "echo no; exit 1", retry: {max_attempts: 2, base: 1s}}
  slow: {shell: "sleep 60", timeout: 1s}
"""


def status(page: Page, word: str) -> object:
    return expect(page.get_by_label("Status", exact=True)).to_have_text(word)


async def test_a_running_request_is_cancelled_to_its_last_process_and_two_tabs_show_the_same(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project, tmp_path: Path
) -> None:
    started = tmp_path / "pid"
    await agent_with(jobs(endless=f"echo $$ > {started}; echo begun; while :; do sleep 0.1; done"))
    request = await ask(operator, "endless")
    first = await open_tab(project.operator, f"#/requests/{request}")
    await expect(screen(first.page).get_by_text("begun")).to_be_visible()
    (run,) = await operator.select("cron_runs")
    second = await open_tab(route=f"#/runs/{run['id']}", beside=first)
    await expect(screen(second.page).get_by_text("begun")).to_be_visible()
    await status(second.page, "running")

    await first.page.get_by_role("button", name="Cancel").click()

    for tab in (first, second):
        await status(tab.page, "cancelled")
        await expect(tab.page.get_by_role("alert").filter(has_text="Cancelled")).to_be_visible()
        await expect(tab.page.get_by_role("button", name="Cancel")).to_have_count(0)
    assert (await operator.request(request))["result"]["reason"] == "cancelled"
    pid = int(started.read_text())
    await wait_until(lambda: not alive(pid))


async def test_a_waiting_request_is_cancelled_at_once(open_tab: OpenTab, operator: Operator, project: Project) -> None:
    request = await ask(operator, "of-nobody")
    page = (await open_tab(project.operator, f"#/requests/{request}")).page
    await status(page, "queued")
    await expect(page.get_by_text("No agent of this project has a job of this name")).to_be_visible()

    await page.get_by_role("button", name="Cancel").click()

    await status(page, "cancelled")
    await expect(page.get_by_text("cancelled before it began", exact=True)).to_be_visible()


async def test_run_again_asks_with_the_same_payload_and_leads_to_the_new_request(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    await agent_with(PAYLOAD)
    request = await ask(operator, "resize", p_payload={"width": 640})
    await ended(operator, request)
    page = (await open_tab(project.operator, f"#/requests/{request}")).page
    await expect(page.get_by_role("region", name="Payload").first).to_contain_text('"width": 640')

    await page.get_by_role("button", name="Run again").click()

    await page.wait_for_url(lambda url: "#/requests/" in url and request not in url)
    await status(page, "done")
    await expect(screen(page).get_by_text('{"width": 640}')).to_be_visible()
    again = await operator.select("cron_run_requests", order="requested_at.desc", limit="1")
    assert again[0]["payload"] == {"width": 640}
    await page.go_back()
    await page.wait_for_url(re.compile(request))


async def test_each_attempt_has_its_output_and_the_stages_their_latencies(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    await agent_with(PAYLOAD)
    request = await ask(operator, "flaky")
    await ended(operator, request)
    page = (await open_tab(project.operator, f"#/requests/{request}")).page

    happened = page.get_by_role("list", name="What happened when")
    moments = ["Asked", "Started (attempt 1)", "Failed (attempt 1)", "Claimed", "Started (attempt 2)", "Reported"]
    for moment in moments:
        await expect(happened.get_by_text(moment, exact=True)).to_be_visible()
    stages = ("waited", "ran", "until the next attempt", "to report")
    for stage in stages:
        await expect(happened.get_by_text(re.compile(rf"^\d+(\.\d)? (ms|s) {stage}$")).first).to_be_visible()
    await page.get_by_text("Attempt 1: error").click()
    await page.wait_for_url(re.compile("attempt=1"))
    runs = await operator.select("cron_runs", order="attempt")
    await expect(page.get_by_text(runs[0]["id"], exact=True)).to_be_visible()
    await page.get_by_text("Attempt 2: error").click()
    await expect(page.get_by_text(runs[1]["id"], exact=True)).to_be_visible()


async def test_a_timeout_is_told_in_words(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    await agent_with(PAYLOAD)
    await ended(operator, await ask(operator, "slow"))
    (run,) = await operator.select("cron_runs")
    page = (await open_tab(project.operator, f"#/runs/{run['id']}")).page

    await status(page, "timeout")
    await expect(page).to_have_title("slow: timeout · Cronmirror")
    ending = page.get_by_role("alert").filter(has_text="Timed out")
    await expect(ending).to_contain_text("Ended after its timeout of 1 s.")
    await expect(page.get_by_text("ended by SIGTERM")).to_be_visible()


async def test_a_viewer_watches_and_cannot_cancel_or_run(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    await agent_with(jobs(story=f"echo begun; {HOLD.format(gate=gate)}"))
    request = await ask(operator, "story")
    page = (await open_tab(project.viewer, f"#/requests/{request}")).page

    await expect(screen(page).get_by_text("begun")).to_be_visible()
    await expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    gate.touch()
    await status(page, "done")
    await expect(page.get_by_role("button", name="Run again")).to_have_count(0)


SILENT = "update cron_agent_beats set last_seen_at = now() - interval '5 minutes' where project_id = %s"
LEASED = """\
update cron_leases set expires_at = now() - interval '4 minutes'
where request_id in (select id from cron_run_requests where project_id = %s)"""
WATCHED = """\
update cron_projects set swept_at = now() - interval '11 seconds', swept_since = now() - interval '5 minutes'
where project_id = %s"""
"""As if five minutes had passed, in which a page was there to see that the agent was not."""


async def test_a_run_whose_agent_died_is_given_up_by_whoever_looks_at_it_and_the_page_says_what_that_means(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    agent = await agent_with(jobs(endless="echo begun; sleep 60"))
    request = await ask(operator, "endless")
    page = (await open_tab(project.operator, f"#/requests/{request}")).page
    await expect(screen(page).get_by_text("begun")).to_be_visible()

    agent.kill()
    project.sql(SILENT, project.project_id)
    await expect(page.get_by_text("Its agent is not heard of")).to_be_visible()
    project.sql(LEASED, project.project_id)
    project.sql(WATCHED, project.project_id)
    await page.reload()  # instead of waiting for its next look

    await status(page, "lost")
    ending = page.get_by_role("alert").filter(has_text="Lost")
    await expect(ending).to_contain_text("look before you run it again")
    await expect(screen(page).get_by_text("begun")).to_be_visible()  # what it printed is kept


async def test_what_is_not_there_says_so(open_tab: OpenTab, project: Project) -> None:
    tab = await open_tab(project.viewer, f"#/runs/{uuid4()}")
    await expect(tab.page.get_by_text("There is no such run")).to_be_visible()
    await tab.go(f"#/requests/{uuid4()}")
    await expect(tab.page.get_by_text("There is no such request")).to_be_visible()
    await tab.go("#/runs/not-an-id")
    await expect(tab.page.get_by_text("There is no such run")).to_be_visible()
