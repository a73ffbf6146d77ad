"""The output of a run: live, followed and paused, in colour, whatever its bytes; copied, downloaded, found."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from agent.cli.demo.operator import Operator
from tests.dashboard.conftest import AgentWith, OpenTab
from tests.e2e.conftest import ended
from tests.support.stack import Project
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

HOLD = "while [ ! -e {gate} ]; do sleep 0.05; done"


def jobs(**shells: str) -> str:
    return "jobs:\n" + "".join(f"  {name}:\n    shell: |\n      {shell}\n" for name, shell in shells.items())


async def ask(operator: Operator, job: str, **more: Any) -> str:
    asked = await operator.rpc("cron_request_run", p_job_id=job, **more)
    return str(asked["id"])


def screen(page: Page) -> Locator:
    return page.get_by_role("region", name=re.compile("^Output of run"))


async def lines(page: Page) -> list[str]:
    """Of the rows that are drawn."""
    return [text.strip() for text in await screen(page).locator("[data-index]").all_inner_texts()]


async def at_end(page: Page) -> bool:
    return bool(await screen(page).evaluate("each => each.scrollHeight - each.scrollTop - each.clientHeight < 40"))


async def test_output_is_followed_while_it_comes_paused_and_read_to_its_end(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    first, rest = ("for i in $(seq 1 120); do echo line $i; done", "for i in $(seq 121 240); do echo line $i; done")
    await agent_with(jobs(story=f"{first}; {HOLD.format(gate=gate)}; {rest}"))
    request = await ask(operator, "story")
    page = (await open_tab(project.operator, f"#/requests/{request}")).page

    await expect(screen(page).get_by_text("line 120", exact=True)).to_be_visible()
    assert await at_end(page)
    await page.get_by_role("button", name="Pause").click()
    gate.touch()
    await ended(operator, request)
    await expect(page.get_by_text("As it came.")).to_be_visible()
    assert "line 240" not in await lines(page)  # it stands where it was
    await screen(page).press("End")
    await expect(screen(page).get_by_text("line 240", exact=True)).to_be_visible()


async def test_scrolling_up_pauses_and_following_again_leads_to_the_end(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    await agent_with(jobs(story=f"for i in $(seq 1 300); do echo line $i; done; {HOLD.format(gate=gate)}"))
    request = await ask(operator, "story")
    page = (await open_tab(project.operator, f"#/requests/{request}")).page
    await expect(screen(page).get_by_text("line 300", exact=True)).to_be_visible()

    await screen(page).hover()
    await page.mouse.wheel(0, -2000)
    await expect(page.get_by_role("button", name="Follow")).to_be_visible()
    assert not await at_end(page)
    await page.get_by_role("button", name="Follow").click()
    await wait_until(lambda: at_end(page))
    gate.touch()
    await ended(operator, request)


async def test_colours_are_kept_and_nothing_else_of_a_terminal_is_obeyed(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    printed = r"printf '\033[31mred\033[0m \033]0;title\007\033[2Jkept\n10%%\r100%%\n\377\376bytes\n'"
    await agent_with(jobs(paint=printed))
    request = await ask(operator, "paint")
    await ended(operator, request)
    page = (await open_tab(project.operator, f"#/requests/{request}")).page

    await expect(screen(page).get_by_text("red", exact=True)).to_have_css("color", "rgb(240, 113, 120)")
    assert await lines(page) == ["red kept", "100%", "��bytes"]
    assert "title" not in await page.title()


async def test_both_streams_can_be_looked_at_alone_and_the_error_comes_first(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    await agent_with(jobs(broken="for i in $(seq 1 40); do echo fine $i; done; echo 'no such host' >&2; exit 7"))
    request = await ask(operator, "broken")
    await ended(operator, request)
    page = (await open_tab(project.operator, f"#/requests/{request}")).page

    ending = page.get_by_role("alert").filter(has_text="Failed")
    await expect(ending).to_contain_text("Exit code 7")
    await expect(ending.get_by_label("The last lines of stderr")).to_have_text("no such host")
    await page.get_by_text("stderr", exact=True).click()
    await wait_until(lambda: _equal(page, ["no such host"]))
    await page.get_by_text("stdout", exact=True).click()
    await expect(screen(page).get_by_text("fine 40", exact=True)).to_be_visible()
    assert "no such host" not in await lines(page)


async def test_output_is_copied_without_escapes_downloaded_as_it_was_and_found_where_it_is_not_drawn(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    await agent_with(jobs(long=r"for i in $(seq 1 3000); do printf '\033[32mrow\033[0m %s\n' $i; done"))
    request = await ask(operator, "long")
    await ended(operator, request)
    tab = await open_tab(project.operator, f"#/requests/{request}", permissions=["clipboard-read", "clipboard-write"])
    page = tab.page
    await expect(screen(page)).to_be_visible()

    await page.get_by_role("button", name="Copy").click()
    await expect(page.get_by_text(re.compile("^Copied"))).to_be_visible()
    copied = await page.evaluate("() => navigator.clipboard.readText()")
    assert copied == "".join(f"row {number}\n" for number in range(1, 3001))

    async with page.expect_download() as download:
        await page.get_by_role("button", name="Download").click()
    saved = await download.value
    assert re.fullmatch(r"long-[0-9a-f]{8}\.log", saved.suggested_filename)
    text = (await saved.path()).read_bytes()
    assert text == b"".join(b"\x1b[32mrow\x1b[0m %d\n" % number for number in range(1, 3001))

    assert await screen(page).locator("[data-index]").count() < 150
    await page.get_by_label("Find in output").fill("ROW 2718")
    await expect(screen(page).get_by_text("2718")).to_be_visible()
    await expect(page.get_by_text("1 of 1", exact=True)).to_be_visible()


async def test_output_stays_while_nothing_can_be_read_and_goes_on_after_that(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    await agent_with(jobs(story=f"echo before; {HOLD.format(gate=gate)}; echo meanwhile"))
    request = await ask(operator, "story")
    tab = await open_tab(project.operator, f"#/requests/{request}")
    tab.expects("ERR_INTERNET_DISCONNECTED|WebSocket")
    await expect(screen(tab.page).get_by_text("before")).to_be_visible()

    await tab.page.context.set_offline(True)
    await expect(tab.page.get_by_text("Supabase cannot be reached right now: what was read stays")).to_be_visible()
    gate.touch()
    await ended(operator, request)
    assert await lines(tab.page) == ["before"]
    await tab.page.context.set_offline(False)

    await wait_until(lambda: _equal(tab.page, ["before", "meanwhile"]), timeout=60)
    await expect(tab.page.get_by_label("Status", exact=True)).to_have_text("done")


async def _equal(page: Page, wanted: list[str]) -> bool:
    return await lines(page) == wanted
