"""Notices as people see them: counted live, read, snoozed, and how they were delivered."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from tests.dashboard.box import Box
from tests.dashboard.conftest import OpenTab, Tab
from tests.dashboard.test_hostile import HTML, TURNED, TURNED_SHOWN, unharmed
from tests.support.stack import Project
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest_asyncio.fixture(loop_scope="session")
async def box(project: Project) -> AsyncIterator[Box]:
    async with Box(project) as one:
        yield one


def bell(tab: Tab, unread: int) -> Locator:
    name = f"Notifications: {unread} unread" if unread else "Notifications"
    return tab.page.get_by_role("banner").get_by_role("button", name=name, exact=True)


def notice(tab: Tab, notice_id: str) -> Locator:
    return tab.page.locator(f"main [data-notice='{notice_id}']")


async def live(tab: Tab) -> None:
    await expect(tab.page.get_by_role("button", name="Connection: Live")).to_be_visible()


async def test_the_bell_counts_live_and_its_list_can_be_read_by_keyboard(
    open_tab: OpenTab, box: Box, project: Project
) -> None:
    tab = await open_tab(project.viewer, "#/jobs")
    await expect(bell(tab, 0)).to_be_visible()
    await live(tab)

    await box.notify("First trouble")
    await expect(bell(tab, 1)).to_be_visible(timeout=8000)  # the polling behind it takes a minute
    await box.notify("Second trouble", subject="agent:mac")
    await expect(bell(tab, 2)).to_be_visible(timeout=8000)

    await bell(tab, 2).focus()
    await tab.page.keyboard.press("Enter")
    latest = tab.page.get_by_role("dialog", name="Notifications")
    await expect(latest.get_by_role("listitem")).to_have_count(2)
    await expect(latest.get_by_role("listitem").first).to_contain_text("Second trouble")
    await latest.get_by_role("button", name="Mark read: First trouble").focus()
    await tab.page.keyboard.press("Enter")
    await expect(latest.get_by_role("listitem")).to_have_count(1)
    await tab.page.keyboard.press("Escape")
    await expect(bell(tab, 1)).to_be_focused()
    assert [
        row["title"]
        for row in project.sql(
            "select title from cron_notifications where project_id = %s and read_at is not null", project.project_id
        )
    ] == ["First trouble"]


async def test_the_list_tells_what_it_was_about_and_who_was_told(open_tab: OpenTab, box: Box, project: Project) -> None:
    failed = await box.notify("Backup failed", severity="critical", body="exit code 1\nsecond line")
    at = "2026-11-28T12:00:00Z"
    await box.delivered(
        failed,
        **{
            "mac/mail": {"state": "sent", "attempts": 1, "at": at},
            "mac/chat": {"state": "failed", "attempts": 4, "at": at, "error": "the hook answered 404"},
        },
    )
    quiet = await box.notify("Nobody was told", subject="agent:mac")
    tab = await open_tab(project.operator, "#/notifications")
    shown = notice(tab, failed)
    await expect(shown.locator("[data-severity]")).to_have_text("critical")
    await expect(shown.locator("[data-delivery=sent]")).to_contain_text("mac/mail sent")
    await expect(shown.locator("[data-delivery=failed]")).to_contain_text("4 attempts")
    await expect(shown.locator("[data-delivery=failed]")).to_contain_text("the hook answered 404")
    await expect(notice(tab, quiet)).to_contain_text("shown here only")

    await tab.page.get_by_role("button", name="Mark all read").click()
    await expect(bell(tab, 0)).to_be_visible()
    await tab.page.get_by_text("Unread", exact=True).click()
    await expect(tab.page.get_by_text("Nothing is unread")).to_be_visible()
    await tab.page.get_by_text("All", exact=True).click()
    await shown.get_by_role("link", name="job backup").click()
    await tab.page.wait_for_url(re.compile("#/jobs/backup$"))


async def test_a_subject_is_snoozed_and_heard_again(open_tab: OpenTab, box: Box, project: Project) -> None:
    first = await box.notify("Backup failed")
    tab = await open_tab(project.operator, "#/notifications")
    await notice(tab, first).get_by_role("button", name="Snooze job backup").click()
    await tab.page.get_by_role("menuitem", name="For 8 hours").click()
    await expect(tab.page.get_by_text("Snoozed: it goes on, and nobody is told")).to_be_visible()

    second = await box.notify("Backup failed again")
    await expect(notice(tab, second)).to_contain_text("snoozed: nobody was told")
    await expect(bell(tab, 1)).to_be_visible()

    await notice(tab, first).get_by_role("button", name="End snooze of job backup").click()
    await expect(tab.page.get_by_text("Snoozed: it goes on, and nobody is told")).to_be_hidden()
    await box.notify("Backup failed once more")
    await expect(bell(tab, 2)).to_be_visible()


async def test_hostile_notices_are_text(open_tab: OpenTab, box: Box, project: Project) -> None:
    evil = await box.notify(HTML + TURNED, body=HTML + TURNED, subject=f"job:{HTML}{TURNED}")
    await box.delivered(evil, **{HTML: {"state": HTML, "error": HTML}})
    tab = await open_tab(project.operator, "#/notifications")
    await expect(notice(tab, evil)).to_contain_text(TURNED_SHOWN)
    await expect(notice(tab, evil)).to_contain_text("<script>harmed=1</script>")
    await unharmed(tab)
    await bell(tab, 1).click()
    await expect(tab.page.get_by_role("dialog")).to_contain_text(TURNED_SHOWN)
    await unharmed(tab)


async def test_an_open_page_has_people_told_of_an_agent_that_fell_silent(
    open_tab: OpenTab, box: Box, project: Project
) -> None:
    project.sql(
        "update cron_agent_beats set last_seen_at = now() - interval '3 min' where project_id = %s", project.project_id
    )
    # As if somebody had been watching for a while already.
    project.sql(
        "update cron_projects set swept_at = now() - interval '11 s', swept_since = now() - interval '2 min' "
        "where project_id = %s",
        project.project_id,
    )
    tab = await open_tab(project.viewer, "#/settings")

    await expect(bell(tab, 1)).to_be_visible()

    async def told() -> list[str]:
        rows = project.sql("select type from cron_notifications where project_id = %s", project.project_id)
        return [row["type"] for row in rows]

    assert await wait_until(told) == ["agent_offline"]
