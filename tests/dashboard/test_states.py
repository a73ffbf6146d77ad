"""States that people meet, on a page that another host serves than Supabase."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.async_api import expect

from agent.cli.demo.operator import Operator
from tests.dashboard.axe import violations
from tests.dashboard.conftest import AgentWith, OpenTab
from tests.dashboard.hosted import AWAY, hosted, let_the_token_expire, sign_in, stored
from tests.dashboard.showcase import Showcase
from tests.e2e.conftest import ended
from tests.support.blocking_proxy import BlockingProxy
from tests.support.door import Door
from tests.support.stack import Person, Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EMPTY = "No cron jobs mirrored yet. The sync worker will publish jobs here."


def add_job(project: Project, job_id: str = "here", name: str = "Job of here") -> None:
    project.sql(
        "insert into cron_mirror (project_id, job_id, name, agent_ids) values (%s, %s, %s, '{mac}')",
        *(project.project_id, job_id, name),
    )


# ── who one is ───────────────────────────────────────────────────────────────


async def test_without_a_session_there_is_a_sign_in_and_a_wrong_password_is_said_to_be_one(
    open_tab: OpenTab, project: Project, tmp_path: Path
) -> None:
    add_job(project)
    tab = await open_tab()
    tab.expects("400")
    page = tab.page
    with hosted(tmp_path, project) as host:
        await page.goto(host.home + "#/jobs/here")
        await sign_in(page, project.viewer, "not it")
        await expect(page.get_by_role("alert")).to_have_text("E-mail address or password is wrong.")
        await expect(page.get_by_text("Job of here")).to_have_count(0)

        await sign_in(page, project.viewer)
        await expect(page.get_by_role("heading", name="Job of here")).to_be_visible()


async def test_an_open_project_needs_no_sign_in(
    open_tab: OpenTab, project: Project, operator: Operator, tmp_path: Path
) -> None:
    add_job(project)
    script = (Path(__file__).parents[2] / "migrations/optional/open_access.sql").read_text()
    project.sql(script.replace("YOUR-PROJECT", project.project_id))
    tab = await open_tab()
    page = tab.page
    try:
        with hosted(tmp_path, project) as host:
            await page.goto(host.home)
            await page.get_by_role("button", name="Run Job of here").click()
            await expect(page.get_by_text("Will execute when mac picks it up")).to_be_visible()
            await page.get_by_role("button", name=re.compile("^Connection")).click()
            await expect(page.get_by_text("Not signed in: an open project")).to_be_visible()
            assert [each["status"] for each in await operator.select("cron_run_requests")] == ["queued"]

            await page.reload()
            await expect(page.get_by_text("Job of here").first).to_be_visible()
            await page.goto("about:blank")  # what it would still ask is refused from here on
    finally:
        project.sql("update cron_projects set open_access = false where project_id = %s", project.project_id)


async def test_a_session_that_ended_is_said_to_have_and_signing_in_again_leads_to_the_same_place(
    open_tab: OpenTab, project: Project, tmp_path: Path
) -> None:
    add_job(project)
    tab = await open_tab()
    tab.expects("400|401|WebSocket connection")  # one that still opens when the page is loaded anew
    page = tab.page
    with hosted(tmp_path, project) as host:
        await page.goto(host.home + "#/jobs/here?tab=runs")
        await sign_in(page, project.viewer)
        await expect(page.get_by_role("heading", name="Job of here")).to_be_visible()

        await end_everywhere(project, project.viewer)
        await let_the_token_expire(page)

        await expect(page.get_by_text("Your session has ended")).to_be_visible()
        assert await stored(page, "cronmirror.known.") == {}
        await sign_in(page, project.viewer)
        await expect(page.get_by_role("heading", name="Job of here")).to_be_visible()
        assert page.url.endswith("#/jobs/here?tab=runs")

        await end_everywhere(project, project.viewer)
        await let_the_token_expire(page)
        await page.reload()
        await expect(page.get_by_text("Your session has ended")).to_be_visible()


async def end_everywhere(project: Project, person: Person) -> None:
    """As "sign out of all devices" does."""
    async with httpx.AsyncClient(
        base_url=project.url, headers={"apikey": project.keys.publishable_key}, timeout=30
    ) as http:
        credentials = {"email": person.email, "password": person.password}
        token = await http.post("/auth/v1/token", params={"grant_type": "password"}, json=credentials)
        bearer = {"authorization": f"Bearer {token.json()['access_token']}"}
        (await http.post("/auth/v1/logout", params={"scope": "global"}, headers=bearer)).raise_for_status()


async def test_a_sign_in_link_is_worth_nothing_on_a_page_that_is_not_of_this_machine(
    open_tab: OpenTab, project: Project, tmp_path: Path
) -> None:
    """Else a link could sign somebody in as somebody else, who then types into a stranger's project."""
    tab = await open_tab()
    page = tab.page
    async with httpx.AsyncClient(base_url=project.url, headers={"apikey": project.keys.publishable_key}) as http:
        credentials = {"email": project.outsider.email, "password": project.outsider.password}
        theirs = (await http.post("/auth/v1/token?grant_type=password", json=credentials)).json()
    link = f"#/signin?access_token={theirs['access_token']}&refresh_token={theirs['refresh_token']}"
    with hosted(tmp_path, project) as host:
        await page.goto(host.home + link)
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert "token" not in page.url
        assert await stored(page, "cronmirror.session.") == {}

        add_job(project)
        await sign_in(page, project.viewer)
        await expect(page.get_by_text("Job of here").first).to_be_visible()
        await page.goto("about:blank")
        await page.goto(host.home + link)
        await expect(page.get_by_text("Job of here").first).to_be_visible()


# ── what is there ────────────────────────────────────────────────────────────


async def test_a_project_without_jobs_says_what_will_publish_them(open_tab: OpenTab, project: Project) -> None:
    page = (await open_tab(project.viewer)).page

    await expect(page.get_by_text(EMPTY, exact=True)).to_be_visible()
    await expect(page.get_by_text("cronmirror run", exact=True)).to_be_visible()
    await expect(page.get_by_text("cronmirror install", exact=True)).to_be_visible()

    add_job(project)
    await expect(page.get_by_text("Job of here").first).to_be_visible()
    await expect(page.get_by_text(EMPTY)).to_have_count(0)


async def test_the_jobs_page_says_whom_requests_wait_for(
    open_tab: OpenTab, agent_with: AgentWith, project: Project
) -> None:
    agent = await agent_with("jobs:\n  hello: {name: Say hello, run: [echo, hello]}\n")
    agent.kill()
    project.sql(
        "update cron_agent_beats set last_seen_at = last_seen_at - interval '60 s' where project_id = %s",
        project.project_id,
    )
    page = (await open_tab(project.operator)).page
    await expect(page.get_by_label("At a glance")).to_contain_text("0 of 1")
    await page.get_by_role("button", name="Run Say hello").click()

    waiting = page.get_by_role("status").filter(has_text="mac is offline")
    await expect(waiting).to_contain_text("1 request waits for it.")

    agent.start()
    await expect(waiting).to_have_count(0)
    await expect(page.get_by_role("region", name="Recent run requests")).to_contain_text("done")


# ── Supabase away ────────────────────────────────────────────────────────────


async def test_what_was_read_last_outlives_a_reload_while_supabase_is_away_but_not_a_sign_out(
    open_tab: OpenTab, project: Project, tmp_path: Path
) -> None:
    Showcase(project.stack.dsn, project.project_id).fill()
    project.sql(
        "insert into cron_run_requests (project_id, job_id, payload) values (%s, 'sync-stats', %s)",
        *(project.project_id, '{"token": "of the payload"}'),
    )
    tab = await open_tab()
    tab.expects(AWAY)
    page = tab.page
    async with Door(project.url) as door:
        await door.open()
        with hosted(tmp_path, project, door.url) as host:
            await page.goto(host.home)
            await sign_in(page, project.viewer)
            for route, text in (("#/agents", "Mac mini"), ("#/jobs", "Nightly backup")):
                await page.goto(host.home + route)
                await expect(page.get_by_text(text).first).to_be_visible()

            await door.shut()
            await page.add_init_script("{ const now = Date.now; Date.now = () => now() + 600_000 }")
            await page.reload()

            await expect(page.get_by_text("Nightly backup").first).to_be_visible()
            await expect(page.get_by_text("Last known data").first).to_be_visible()
            await expect(page.get_by_role("button", name="Connection: Offline")).to_be_visible()
            await page.goto(host.home + "#/agents")
            await expect(page.get_by_role("heading", name="Mac mini")).to_be_visible()
            # Ten minutes later: it is the page that hears nobody.
            await expect(page.locator("[data-agent='mac-mini']").get_by_text("online", exact=True)).to_be_visible()
            await expect(page.get_by_text("Live updates are interrupted")).to_have_count(0)
            kept = str(await stored(page, "cronmirror.known."))
            assert "sync-stats" in kept
            assert "of the payload" not in kept

            await door.open()
            await expect(page.get_by_text("Last known data")).to_have_count(0)
            await expect(page.get_by_role("button", name="Connection: Live")).to_be_visible()

            await door.shut()
            await page.get_by_role("button", name="More").click()
            await page.get_by_role("menuitem", name="Sign out").click()
            await expect(page.get_by_text("Mac mini")).to_have_count(0)
            assert await stored(page, "cronmirror.") == {}
            await page.reload()
            await expect(page.get_by_role("heading", name="Supabase cannot be reached")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_while_supabase_does_not_answer_what_was_read_last_is_said_to_be_old(
    open_tab: OpenTab, project: Project, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    Showcase(project.stack.dsn, project.project_id).fill()
    tab = await open_tab(scheme=scheme, size=(390, 844))
    tab.expects(f"{AWAY}|ERR_FAILED")
    page = tab.page
    async with Door(project.url) as door:
        await door.open()
        with hosted(tmp_path, project, door.url) as host:
            await page.goto(host.home)
            await sign_in(page, project.viewer)
            await expect(page.get_by_text("Nightly backup").first).to_be_visible()

            await door.hang()
            await page.reload()
            await expect(page.get_by_text("Supabase has not answered yet.").first).to_be_visible()
            await expect(page.get_by_text("Nightly backup").first).to_be_visible()
            assert await violations(page) == []

            await door.shut()
            await page.goto(host.home + "#/jobs/nightly-backup")
            await page.reload()
            await expect(page.get_by_role("heading", name="Nightly backup")).to_be_visible()
            await expect(page.get_by_text("This could not be read").first).to_be_visible()
            assert await violations(page) == []


async def test_a_token_that_expired_while_supabase_is_away_is_renewed_when_it_is_back(
    open_tab: OpenTab, project: Project, tmp_path: Path
) -> None:
    add_job(project)
    tab = await open_tab()
    tab.expects(AWAY)
    page = tab.page
    async with Door(project.url) as door:
        await door.open()
        with hosted(tmp_path, project, door.url) as host:
            await page.goto(host.home)
            await sign_in(page, project.viewer)
            await expect(page.get_by_text("Job of here").first).to_be_visible()

            await let_the_token_expire(page)
            await door.shut()
            await page.reload()

            await expect(page.get_by_text("Job of here").first).to_be_visible()
            await expect(page.get_by_text("Last known data").first).to_be_visible()
            add_job(project, "new", "Job of meanwhile")
            await door.open()
            await expect(page.get_by_text("Job of meanwhile").first).to_be_visible(timeout=90_000)
            await expect(page.get_by_text("Last known data")).to_have_count(0)


async def test_without_realtime_the_page_says_so_reads_every_ten_seconds_and_is_live_again_afterwards(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project, tmp_path: Path
) -> None:
    await agent_with("jobs:\n  hello: {name: Say hello, run: [echo, hello]}\n")
    tab = await open_tab()
    tab.expects(AWAY)
    page = tab.page
    async with BlockingProxy(project.url).running() as proxy:
        with hosted(tmp_path, project, proxy.url) as host:
            await page.goto(host.home)
            await sign_in(page, project.operator)
            interrupted = page.get_by_text(
                "Live updates are interrupted; this page reads every 10 s until they are back."
            )
            await expect(interrupted).to_be_visible()
            await page.get_by_role("button", name="Connection: Polling").click()
            await expect(
                page.get_by_text("Realtime is reconnecting; this page reads every 10 s meanwhile")
            ).to_be_visible()
            await page.keyboard.press("Escape")

            recent = page.get_by_role("region", name="Recent run requests")
            request = await operator.press_run("hello")
            await ended(operator, request["id"])
            await expect(recent).to_contain_text("done", timeout=25_000)

            proxy.blocked = False
            await expect(page.get_by_role("button", name="Connection: Live")).to_be_visible()
            await expect(interrupted).to_have_count(0)

            proxy.blocked = True
            proxy.cut()
            await expect(interrupted).to_be_visible()
