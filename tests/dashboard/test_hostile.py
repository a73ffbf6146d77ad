"""Data that means harm: HTML, scripts, escape sequences, marks that turn the direction of text, lines of a megabyte.

In names, instructions, errors, output and payloads. It is shown as text, in full view, and nothing of it is executed:
the tabs are watched for breaches of the policy, and `window.harmed` stays unset.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from agent.cli.demo.operator import Operator
from tests.dashboard.conftest import AgentWith, OpenTab, Tab
from tests.dashboard.test_output import ask, lines, screen
from tests.e2e.conftest import ended
from tests.support.stack import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

HTML = "<img src=x onerror=harmed=1><script>harmed=1</script>"
TURNED = "invoice\u202egpj.exe"
TURNED_SHOWN = "invoice⟨U+202E⟩gpj"
LINK = "\x1b]8;;javascript:window.harmed=1\x07press\x1b]8;;\x07"
CLEAR = "\x1b[2J\x1b]0;title\x07"
NAME = f"{TURNED} {HTML}"

MEGABYTE = 1_000_000
PRINT = f"import sys; sys.stdout.write('x' * {MEGABYTE} + '\\nlast line\\n')"

BLOCKED_MS = """() => {
  window.blocked = 0
  new PerformanceObserver(list => {
    for (const each of list.getEntries()) window.blocked = Math.max(window.blocked, each.duration)
  }).observe({ type: 'longtask' })
}"""


def config(tmp_jobs: dict[str, Any]) -> str:
    """JSON is YAML: nothing of it needs another kind of quoting."""
    return f"jobs: {json.dumps(tmp_jobs)}\n"


async def unharmed(tab: Tab) -> None:
    """Nothing ran, nothing was added, nothing leads away."""
    page: Page = tab.page
    assert await page.evaluate("() => window.harmed") is None
    assert await page.locator("main img, main script, main iframe").count() == 0
    assert await page.locator("a:not([href^='#'])").count() == 0
    title = await page.title()
    assert title.endswith("Cronmirror")
    raw = title + await page.evaluate("() => document.body.innerText")
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b]", raw)


async def test_hostile_names_and_errors_are_text_on_every_page(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    job = {"name": NAME, "run": ["python3", "-c", f"import sys; sys.exit({HTML + TURNED!r})"], "description": NAME}
    await agent_with(config({"evil": job}))
    # No agent of ours takes escape sequences in a name; somebody else's writer might.
    project.sql("update cron_mirror set name = %s where project_id = %s", NAME + CLEAR, project.project_id)
    request = await ask(operator, "evil")
    await ended(operator, request)
    (run,) = await operator.select("cron_runs")
    tab = await open_tab(project.operator, "#/jobs")
    for route in ("#/jobs", "#/runs", f"#/requests/{request}", f"#/runs/{run['id']}", "#/runs?job=evil"):
        await tab.go(route)
        name = tab.page.locator("bdi").filter(has_text=TURNED_SHOWN).first
        await expect(name).to_be_visible()
        await expect(name).to_contain_text("<script>harmed=1</script>")
        await unharmed(tab)


async def test_hostile_output_and_payloads_are_text(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    schema = {"type": "object"}
    await agent_with(
        config(
            {
                "echo": {"run": ["cat"], "payload": schema},
                "print": {"run": ["printf", "%s\n", HTML, TURNED, LINK + CLEAR]},
            }
        )
    )
    echoed = await ask(operator, "echo", p_payload={HTML: [TURNED, LINK, CLEAR]})
    printed = await ask(operator, "print")
    await ended(operator, echoed)
    await ended(operator, printed)
    tab = await open_tab(project.operator, f"#/requests/{echoed}")
    payload = tab.page.get_by_role("region", name="Payload").first
    await expect(payload).to_contain_text("<script>harmed=1</script>")
    await expect(payload).to_contain_text(TURNED_SHOWN)
    await unharmed(tab)

    await tab.go(f"#/requests/{printed}")
    await expect(screen(tab.page)).to_be_visible()
    assert await lines(tab.page) == [HTML, "invoiceRLOgpj.exe", "press"]
    await unharmed(tab)


async def test_a_line_of_a_megabyte_is_shown_and_blocks_nothing(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    await agent_with(config({"flood": {"run": ["python3", "-c", PRINT], "limits": {"output": "1MiB"}}}))
    request = await ask(operator, "flood")
    row = await ended(operator, request)
    assert len(row["result"]["stdout_tail"]) > MEGABYTE
    tab = await open_tab(project.operator, "#/runs")
    await tab.page.evaluate(BLOCKED_MS)
    await tab.page.evaluate(f"() => {{ location.hash = '#/requests/{request}' }}")
    await expect(screen(tab.page)).to_be_visible()

    await screen(tab.page).press("End")
    await expect(screen(tab.page).get_by_text("last line", exact=True)).to_be_visible()
    assert await screen(tab.page).locator("[data-index]").count() < 150
    blocked = await tab.page.evaluate("() => window.blocked")
    assert blocked < 3000, f"a task of {blocked} ms"


async def test_an_address_that_means_harm_leads_nowhere(open_tab: OpenTab, project: Project) -> None:
    tab = await open_tab(project.operator, "#/runs")
    for route in (
        f"#/runs?job={HTML}",
        f"#/runs?agent={TURNED}",
        f"#/jobs/{HTML}",
        f"#/runs/{HTML}",
        "#/runs?before=x~y",
    ):
        await tab.go(route)
        await expect(tab.page.get_by_role("navigation", name="Pages")).to_be_visible()
        await expect(tab.page.locator("[aria-busy=true]")).to_have_count(0)
        await unharmed(tab)
