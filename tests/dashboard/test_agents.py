"""Agents as people see them: there, killed and back, stopped, paused, with a fault in their YAML."""

from __future__ import annotations

import re
import signal

import pytest
from playwright.async_api import Locator, expect

from agent.cli.demo.operator import Operator
from tests.dashboard.conftest import AgentWith, OpenTab, Tab
from tests.dashboard.showcase import Showcase
from tests.e2e.conftest import ended
from tests.support.stack import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

JOBS = "jobs:\n  hello: {name: Say hello, run: [echo, hello]}\n"


def card(tab: Tab, agent: str = "mac") -> Locator:
    return tab.page.locator(f"[data-agent='{agent}']")


def let_time_pass(project: Project) -> None:
    """As if the last beat had been a minute ago."""
    project.sql(
        "update cron_agent_beats set last_seen_at = last_seen_at - interval '60 s' where project_id = %s",
        project.project_id,
    )


async def test_an_agent_that_is_killed_is_offline_with_what_waits_for_it_and_comes_back(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    agent = await agent_with(JOBS)
    tab = await open_tab(project.operator, "#/agents")
    await expect(card(tab).get_by_text("online", exact=True)).to_be_visible()
    await expect(card(tab).get_by_text("Realtime", exact=True)).to_be_visible()

    agent.kill()
    let_time_pass(project)
    request = await operator.press_run("hello")

    await expect(card(tab).get_by_text(re.compile("^offline"))).to_be_visible()
    await expect(card(tab).get_by_text("1 request waits for it to come back")).to_be_visible()

    agent.start()
    await ended(operator, request["id"])

    await expect(card(tab).get_by_text("online", exact=True)).to_be_visible()
    await expect(card(tab).get_by_text(re.compile("waits for it"))).to_be_hidden()


async def test_an_agent_that_is_told_to_stop_says_so_at_once(
    open_tab: OpenTab, agent_with: AgentWith, project: Project
) -> None:
    agent = await agent_with(JOBS)
    tab = await open_tab(project.viewer, "#/agents")
    await expect(card(tab).get_by_text("online", exact=True)).to_be_visible()

    agent.signal(signal.SIGTERM)

    await expect(card(tab).get_by_text(re.compile("^stopped"))).to_be_visible()


async def test_a_fault_in_the_yaml_is_shown_with_its_line_until_it_is_mended(
    open_tab: OpenTab, agent_with: AgentWith, project: Project
) -> None:
    agent = await agent_with(JOBS)
    tab = await open_tab(project.viewer, "#/agents")
    await expect(card(tab)).to_be_visible()

    agent.write_config(agent.head + "jobs:\n  hello: {every: 15 minuts, run: [echo, hello]}\n")

    fault = card(tab).get_by_role("status").filter(has_text="15 minuts")
    await expect(fault.locator("code")).to_have_text(re.compile(r"config\.yaml:\d+$"))

    agent.write_config(agent.head + JOBS)
    await expect(fault).to_be_hidden()


async def test_an_operator_pauses_and_resumes_an_agent(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    await agent_with(JOBS)
    tab = await open_tab(project.operator, "#/agents")
    page = tab.page
    await page.get_by_role("button", name="Pause mac").click()
    await page.get_by_role("menuitem", name="Schedules only").click()

    await expect(card(tab).get_by_text("schedule paused", exact=True)).to_be_visible()
    (row,) = await operator.select("cron_agents")
    assert (row["paused_mode"], row["paused_until"]) == ("schedule", None)

    await page.get_by_role("button", name="Resume mac").click()
    await expect(page.get_by_role("button", name="Pause mac")).to_be_visible()
    assert (await operator.select("cron_agents"))[0]["paused_mode"] is None


async def test_an_operator_pauses_the_project_for_an_hour(
    open_tab: OpenTab, operator: Operator, project: Project
) -> None:
    Showcase(project.stack.dsn, project.project_id).fill()
    tab = await open_tab(project.operator, "#/agents")
    page = tab.page
    await page.get_by_role("button", name="Pause the project").click()
    await page.get_by_role("menuitem", name="Everything, for an hour").click()

    await expect(page.get_by_text("This project is paused")).to_be_visible()
    (row,) = await operator.select("cron_projects")
    assert row["paused_mode"] == "all"
    assert row["paused_until"] is not None


async def test_a_viewer_sees_the_agents_and_nothing_to_press(open_tab: OpenTab, project: Project) -> None:
    Showcase(project.stack.dsn, project.project_id).fill()
    tab = await open_tab(project.viewer, "#/agents")
    mini, studio, attic = (card(tab, each) for each in ("mac-mini", "studio", "attic"))

    await expect(mini).to_contain_text("the machine slept; 31 runs missed, 1 request waited")
    await expect(studio).to_contain_text("polling: Realtime is not connected")
    await expect(studio).to_contain_text("7.4 s behind Supabase's")
    await expect(attic).to_contain_text("2 requests wait for it to come back")
    await expect(attic).to_contain_text("0.9.0")
    kept = tab.page.get_by_role("region", name="What Supabase keeps")
    for table in ("cron_mirror", "cron_run_requests", "cron_runs"):
        query = f"select count(*) as rows from {table} where project_id = %s"  # noqa: S608 - our own names
        rows = project.sql(query, project.project_id)[0]["rows"]
        await expect(kept.get_by_role("row", name=table)).to_contain_text(f"{table}{rows:,}")
    assert await tab.page.get_by_role("button", name=re.compile("Pause|Resume")).count() == 0


async def test_a_wrong_clock_of_this_computer_makes_no_agent_look_dead(open_tab: OpenTab, project: Project) -> None:
    """Signs of life carry the server's time; a browser that is ten minutes ahead would take all agents for gone."""
    showcase = Showcase(project.stack.dsn, project.project_id)
    showcase.fill()
    tab = await open_tab(project.viewer, "#/agents")
    await expect(card(tab, "mac-mini")).to_be_visible()
    await tab.page.add_init_script("{ const now = Date.now; Date.now = () => now() + 600_000 }")
    await tab.page.reload()

    await expect(card(tab, "mac-mini").get_by_text("online", exact=True)).to_be_visible()
