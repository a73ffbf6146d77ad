"""The dashboard in a real Chromium, against the embedded stack with a real agent. Nothing on the network is mocked.

Every tab is watched: an error on its console, a breach of the policy (Chromium reports it there) and an exception that
nobody caught fail the test at its end, unless the test said that it expects them (`tab.expects`).
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
import yaml
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, mirrored, start_agent
from tests.support.agent_process import AgentProcess
from tests.support.browser import chromium
from tests.support.stack import Person, Project

__all__ = ["start_agent"]

PATIENCE_MS = 30_000
"""For what takes a blink, on a machine that is busy with ten other things."""
expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for all of them: the browser lives in it."""
    for item in items:
        if Path(__file__).parent in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@dataclass(kw_only=True)
class Tab:
    """One tab. `page` is Playwright's."""

    page: Page
    home: str
    """The address of the dashboard, with a slash at its end."""
    faults: list[str] = field(default_factory=list)
    _expected: list[re.Pattern[str]] = field(default_factory=list)

    def expects(self, pattern: str) -> None:
        """Faults that match are what this test is about."""
        self._expected.append(re.compile(pattern))

    @property
    def unexpected(self) -> list[str]:
        return [fault for fault in self.faults if not any(each.search(fault) for each in self._expected)]

    async def go(self, route: str) -> None:
        """To a route of the page, e.g. `#/runs?status=error`."""
        await self.page.goto(self.home + route)

    def watch(self) -> None:
        """From now on."""
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        self.page.on("crash", lambda _: self.faults.append("the tab crashed"))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(f"console: {message.text} ({message.location.get('url')})")


OpenTab = Callable[..., Awaitable[Tab]]
AgentWith = Callable[[str], Awaitable[AgentProcess]]


def no_complaints(tabs: list[Tab]) -> None:
    """Fails where a page said something that its test did not expect."""
    faults = [fault for tab in tabs for fault in tab.unexpected]
    assert not faults, "the page complained:\n" + "\n".join(faults)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests; each tab has a profile of its own."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=chromium(),
            chromium_sandbox=os.geteuid() != 0,  # as root it has none
            args=["--disable-dev-shm-usage", "--disable-gpu"],
        )
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_tab(browser: Browser, project: Project) -> AsyncIterator[OpenTab]:
    """Opens tabs: signed in as a person, or as nobody when none is given."""
    tabs: list[Tab] = []

    async def open_one(
        person: Person | None = None,
        route: str = "#/jobs",
        *,
        scheme: Literal["light", "dark"] = "light",
        size: tuple[int, int] = (1280, 800),
        beside: Tab | None = None,
        **context: Any,
    ) -> Tab:
        """`beside`: in the same profile, as a second tab of that browser is."""
        width, height = size
        profile = (
            beside.page.context
            if beside
            else await browser.new_context(
                color_scheme=scheme, viewport={"width": width, "height": height}, reduced_motion="reduce", **context
            )
        )
        profile.set_default_timeout(PATIENCE_MS)
        tab = Tab(page=await profile.new_page(), home=f"{project.url}/")
        tabs.append(tab)
        tab.watch()
        if person is not None:
            await tab.page.goto(project.stack.local.invite(person.user_id))
            await tab.page.wait_for_url(lambda url: "signin" not in url and "token" not in url)
        await tab.go(route)
        return tab

    yield open_one
    for profile in {tab.page.context for tab in tabs}:
        await profile.close()
    no_complaints(tabs)


@pytest_asyncio.fixture(loop_scope="session")
async def operator(project: Project) -> AsyncIterator[Operator]:
    """The same person without a browser, to look at what stands in Supabase."""
    async with Operator(project.url, project.keys.publishable_key, project.project_id) as someone:
        await someone.sign_in(project.operator.email, project.operator.password)
        yield someone


@pytest.fixture
def agent_with(start_agent: StartAgent, operator: Operator) -> AgentWith:
    """Starts an agent with these jobs (YAML) and waits until Supabase knows them all and it hears Realtime."""

    async def start(jobs: str) -> AgentProcess:
        agent = start_agent(jobs)
        await mirrored(operator, len(yaml.safe_load(jobs)["jobs"]))
        return agent

    return start
