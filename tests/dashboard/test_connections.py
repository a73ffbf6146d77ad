"""Connections as people see them, and signing one in again from the browser: a real provider, a real code."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from agent.cli.demo.operator import Operator
from tests.dashboard.box import Box
from tests.dashboard.conftest import OpenTab, Tab
from tests.dashboard.test_hostile import HTML, TURNED, TURNED_SHOWN, unharmed
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.oauth_provider import CLIENT_SECRET, OAuthProvider
from tests.support.stack import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LOST: dict[str, Any] = {
    "account": "ada@example.com", "scopes": ["files.read"], "needs_reauth": True, "consecutive_failures": 3,
    "last_refresh_error": "invalid_grant: the login was revoked", "last_failure_kind": "permanent",
}  # fmt: skip
WELL: dict[str, Any] = {"account": "ada@example.com", "is_active": True, "needs_reauth": False}


@pytest_asyncio.fixture(loop_scope="session")
async def box(project: Project) -> AsyncIterator[Box]:
    async with Box(project) as one:
        yield one


@pytest.fixture
def provider() -> Iterator[OAuthProvider]:
    with OAuthProvider() as one:
        yield one


def card(tab: Tab, connection: str = "drive") -> Locator:
    return tab.page.locator(f"[data-connection='{connection}']")


def step(tab: Tab, name: str) -> Locator:
    return card(tab).locator(f"[data-step={name}]")


def reconnect(tab: Tab) -> Locator:
    return tab.page.get_by_role("button", name="Reconnect drive", exact=True)


async def test_an_admin_signs_a_connection_in_again(
    open_tab: OpenTab, box: Box, provider: OAuthProvider, project: Project
) -> None:
    await box.report(**LOST)
    tab = await open_tab(project.admin, "#/connections")
    page = tab.page
    await expect(card(tab).get_by_text("Needs re-authentication")).to_be_visible()
    addresses: list[str] = []
    page.on("framenavigated", lambda frame: addresses.append(frame.url))
    sent: list[str] = []
    page.on("request", lambda asked: sent.append(json.dumps([asked.url, dict(asked.headers)])))

    await reconnect(tab).click()
    await expect(step(tab, "asked")).to_contain_text("prepares the sign-in")
    sign_in = await box.begin(provider.connection("drive"))
    await expect(step(tab, "browser")).to_contain_text(urlsplit(provider.url).netloc)
    await step(tab, "browser").get_by_role("button", name="Continue").click()

    await expect(step(tab, "given")).to_be_visible()
    tokens = await box.exchange(provider.connection("drive"), sign_in)
    assert provider.accepts(tokens.access_token)
    await box.report(**WELL)  # in an agent's order: what is answered is what the page reads again upon
    await box.answer(str((await requests(project))[0]["id"]), done=True)
    await expect(step(tab, "done")).to_be_visible()
    await expect(card(tab).get_by_text("Active", exact=True)).to_be_visible()
    (code,) = {parse_qs(urlsplit(url).query)["code"][0] for url in addresses if "code=" in url}
    await no_trace(tab, code, sign_in.state, sent)


async def test_a_real_agent_signs_in_and_its_held_job_runs_with_the_token(
    open_tab: OpenTab, start_agent: StartAgent, operator: Operator, provider: OAuthProvider, project: Project
) -> None:
    jobs = "jobs:\n  sync: {shell: 'test -n \"$DRIVE_ACCESS_TOKEN\" && echo in', connection: drive}\n"
    drive = provider.yaml("drive", client_secret="${DRIVE_SECRET}", grant="authorization_code")
    start_agent(f"connections:\n  {drive}\n{jobs}", DRIVE_SECRET=CLIENT_SECRET)
    await mirrored(operator)
    tab = await open_tab(project.admin, "#/connections")
    await expect(card(tab).get_by_text("Needs re-authentication")).to_be_visible()

    await reconnect(tab).click()
    await step(tab, "browser").get_by_role("button", name="Continue").click()

    await expect(step(tab, "done")).to_be_visible()
    await expect(card(tab).get_by_text("Active", exact=True)).to_be_visible()
    await expect(card(tab)).to_contain_text("ada@example.com")
    done = await ended(operator, (await operator.press_run("sync"))["id"])
    assert done["status"] == "done", done


async def requests(project: Project) -> list[dict[str, Any]]:
    return project.sql(
        "select * from cron_connection_requests where project_id = %s order by requested_at", project.project_id
    )


async def no_trace(tab: Tab, code: str, state: str, sent: list[str]) -> None:
    """Of the code: not in the address, not one step back, not in storage; sent in one body, never in an address."""
    page = tab.page
    kept = await page.evaluate("() => location.href + JSON.stringify({ ...localStorage, ...sessionStorage })")
    assert code not in kept
    assert state not in kept
    assert not [each for each in sent if code in each and "?code=" not in each.split('",')[0]]
    assert not [each for each in sent if '"referer"' in each and (code in each.split('"referer"')[1][:600])]
    await page.go_back()
    assert code not in page.url


async def test_the_provider_or_the_person_says_no(
    open_tab: OpenTab, box: Box, provider: OAuthProvider, project: Project
) -> None:
    await box.report(**LOST)
    tab = await open_tab(project.admin, "#/connections")
    provider.user = None
    await reconnect(tab).click()
    await box.begin(provider.connection("drive"))
    await step(tab, "browser").get_by_role("button", name="Continue").click()

    await expect(tab.page.get_by_role("alert")).to_contain_text("access_denied")
    assert "error" not in tab.page.url
    await expect(reconnect(tab)).to_be_visible()
    (row,) = await requests(project)
    assert (row["status"], row["error"]) == ("error", "cancelled")


async def test_a_sign_in_that_this_browser_did_not_begin_is_not_used(
    open_tab: OpenTab, box: Box, provider: OAuthProvider, project: Project
) -> None:
    """Somebody could have an admin's browser finish a sign-in as another account."""
    await box.report(**LOST)
    tab = await open_tab(project.admin, "#/connections")
    await reconnect(tab).click()
    sign_in = await box.begin(provider.connection("drive"))
    await expect(step(tab, "browser")).to_be_visible()

    await tab.page.goto(f"{tab.home}?code=of-somebody-else&state={sign_in.state}")

    await expect(tab.page.get_by_role("alert")).to_contain_text("was not begun in this browser")
    assert "somebody" not in tab.page.url
    assert (await requests(project))[0]["status"] == "waiting"


async def test_another_account_is_refused_until_the_admin_says_that_it_is_right(
    open_tab: OpenTab, box: Box, project: Project
) -> None:
    await box.report(**LOST)
    tab = await open_tab(project.admin, "#/connections")
    await reconnect(tab).click()
    said = f"This is another account: {HTML}{TURNED}"
    await box.answer(await box.asked(), error=said)

    await expect(step(tab, "failed")).to_contain_text(TURNED_SHOWN)
    await unharmed(tab)
    await step(tab, "failed").get_by_role("button", name="Use the other account").click()

    await expect(step(tab, "asked")).to_be_visible()
    assert [each["other_account_ok"] for each in await requests(project)] == [False, True]
    await step(tab, "asked").get_by_role("button", name="Cancel").click()
    await expect(reconnect(tab)).to_be_visible()


async def test_a_code_for_another_browser_and_an_agent_that_is_gone(
    open_tab: OpenTab, box: Box, provider: OAuthProvider, project: Project
) -> None:
    await box.report(**LOST)
    tab = await open_tab(project.admin, "#/connections")
    # By keyboard alone.
    await reconnect(tab).focus()
    await tab.page.keyboard.press("Enter")
    await box.answer(await box.asked(), verification_uri=f"{provider.url}/activate", user_code="WDJB-MJHT")

    await expect(step(tab, "device")).to_contain_text("WDJB-MJHT")
    await expect(step(tab, "device")).to_contain_text("/activate")
    await step(tab, "device").get_by_role("button", name="Cancel").click()
    project.sql(
        "update cron_agent_beats set last_seen_at = now() - interval '70 s' where project_id = %s", project.project_id
    )
    await expect(card(tab).get_by_text(re.compile("^offline"))).to_be_visible()
    await reconnect(tab).click()
    await expect(step(tab, "asked")).to_contain_text("is offline")

    project.sql(
        "update cron_connection_requests set expires_at = now() - interval '1 s' "
        "where project_id = %s and status = 'asked'",
        project.project_id,
    )
    await expect(step(tab, "failed")).to_contain_text("nobody finished it in time")


async def test_an_address_that_no_browser_should_open_is_not_opened(
    open_tab: OpenTab, box: Box, project: Project
) -> None:
    await box.report(**LOST)
    tab = await open_tab(project.admin, "#/connections")
    await reconnect(tab).click()
    await box.answer(await box.asked(), authorization_url="https://accounts.google.com@evil.example/", state="s" * 32)
    await expect(step(tab, "failed")).to_contain_text("no browser should be sent to")
    assert await card(tab).get_by_role("button", name="Continue").count() == 0


async def test_who_is_no_admin_sees_how_it_stands_and_nothing_to_press(
    open_tab: OpenTab, box: Box, project: Project
) -> None:
    await box.report(**{**LOST, "account": HTML + TURNED, "last_refresh_error": HTML})
    await box.report(
        "calendar", **WELL, token_expires_at="2036-01-01T00:00:00Z", last_refresh_at="2026-01-01T00:00:00Z"
    )
    project.sql(
        "insert into cron_mirror (project_id, job_id, name, agent_ids, connection_id) "
        "values (%s, 'backup', 'Backup', '{mac}', 'drive'), (%s, 'sync', 'Sync', '{mac}', 'calendar')",
        *(project.project_id, project.project_id),
    )
    tab = await open_tab(project.operator, "#/jobs")
    row = tab.page.locator("[data-job=backup]")
    await expect(row.locator("[data-standing]")).to_have_text("Needs re-authentication")
    await expect(tab.page.locator("[data-job=sync] [data-standing]")).to_have_text("Active")

    await tab.go("#/jobs/backup")
    await expect(tab.page.get_by_text("Stands still: needs re-authentication.")).to_be_visible()
    await tab.page.get_by_role("link", name="drive").click()

    await expect(card(tab)).to_contain_text("1 job waits for it, held")
    await expect(card(tab)).to_contain_text("3 refused by the provider")
    await expect(card(tab)).to_contain_text(TURNED_SHOWN)
    await expect(card(tab, "calendar")).to_contain_text("ada@example.com")
    await unharmed(tab)
    assert await tab.page.get_by_role("button", name=re.compile("Reconnect")).count() == 0
