"""Deque's axe in a tab: what of WCAG 2.2 AA a machine can judge."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from playwright.async_api import Page

SOURCE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
RUN = "tags => axe.run(document, { runOnly: { type: 'tag', values: tags }, resultTypes: ['violations'] })"


async def violations(page: Page) -> list[str]:
    """One line per rule and element that breaks it. The page's policy allows no script element: axe is evaluated."""
    await page.evaluate(f"() => {{ {_source()} }}")
    found: dict[str, Any] = await page.evaluate(RUN, list(TAGS))
    return [
        f"{rule['id']}: {node['html'][:200]} — {node['failureSummary'].splitlines()[-1].strip()}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@cache
def _source() -> str:
    return SOURCE.read_text()
