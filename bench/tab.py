"""What one tab of the dashboard takes, by its own clock: the first rows on the screen, an update, scrolling.

Each function gets Playwright's page or context; nothing on the way between page and database is touched. The tests of
the dashboard hold the same figures (`tests/dashboard/test_bars.py`).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from playwright.async_api import BrowserContext, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 60_000

ROWS_PAINTED = """
new MutationObserver((_, observer) => {
  if (!document.querySelector('[data-job]')) return
  observer.disconnect()
  const { port1, port2 } = new MessageChannel()
  port1.onmessage = () => { window.rowsPainted = performance.now() }
  // A message that is sent in a frame arrives when that frame is painted.
  requestAnimationFrame(() => port2.postMessage(0))
}).observe(document, { childList: true, subtree: true })
"""

STATUSES = """
() => {
  window.shown = {}
  const look = () => {
    const at = Date.now()
    for (const line of document.querySelectorAll('[data-request]')) {
      const status = line.querySelector('[data-status]')?.dataset.status
      if (status) (window.shown[line.dataset.request] ??= {})[status] ??= at
    }
  }
  new MutationObserver(look).observe(document.body, {
    subtree: true, childList: true, attributes: true, attributeFilter: ['data-status'],
  })
}
"""

SCROLL = """
async ({ step, jumps, restMs }) => {
  performance.mark('scroll-begins')
  const tasks = []
  const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((each) => each.duration)))
  observer.observe({ type: 'longtask' })
  const table = document.querySelector('.jobs')
  const frame = () => new Promise(requestAnimationFrame)
  const rest = () => new Promise((resolve) => setTimeout(resolve, restMs))
  let frames = 0
  for (let last = -1; table.scrollTop !== last; frames++) {
    last = table.scrollTop
    table.scrollTop += step
    await frame()
  }
  const height = table.scrollTop
  const atEnd = Math.max(...[...table.querySelectorAll('[data-index]')].map((row) => Number(row.dataset.index)))
  // As somebody who drags the scroll bar and looks: the strips of the rows come when it rests.
  for (let jump = 0; jump < jumps; jump++) {
    table.scrollTop = height * ((jump * 7919) % jumps) / jumps
    await rest()
  }
  await frame()
  tasks.push(...observer.takeRecords().map((each) => each.duration))
  observer.disconnect()
  const longest_task_ms = Math.max(0, ...tasks)
  return { frames, pixels: height, last_row: atEnd, longest_task_ms, long_tasks: tasks.length }
}
"""


def chromium() -> str:
    """The browser of this machine; RuntimeError where there is none."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise RuntimeError(f"there is no {BROWSERS[0]} on PATH")
    return found


async def first_rows_ms(profile: BrowserContext, url: str) -> float:
    """From the navigation to the frame that shows the first rows of the list of jobs."""
    page = await profile.new_page()
    await page.add_init_script(ROWS_PAINTED)
    await page.goto(url)
    await page.wait_for_function("() => window.rowsPainted", timeout=PATIENCE_MS)
    painted = float(await page.evaluate("() => window.rowsPainted"))
    await page.close()
    return painted


async def watch_statuses(page: Page) -> None:
    """From now on, keep when each status of each listed request was first in the document (`shown`)."""
    await page.evaluate(STATUSES)


async def shown(page: Page) -> dict[str, dict[str, float]]:
    """By request and status: milliseconds since 1970, this machine's clock, as Postgres' is here."""
    return dict(await page.evaluate("() => window.shown"))


def delays_ms(
    rows: Iterable[dict[str, Any]], seen: dict[str, dict[str, float]], status: str, written: str
) -> list[float]:
    """How long after `row[written]` (seconds since 1970) each request was shown with this status, or past it."""
    each = [(seen[str(row["id"])], row[written] * 1000) for row in rows]
    return [statuses.get(status, max(statuses.values())) - at for statuses, at in each]


@dataclass(frozen=True, kw_only=True)
class Path:
    """How a table is scrolled: so many pixels a frame from its top to its end, then jumps with a rest at each."""

    step: int = 600
    jumps: int = 40
    rest_ms: int = 250


async def scroll(page: Page, path: Path) -> dict[str, float]:
    """`{frames, pixels, last_row, longest_task_ms, long_tasks}`; the page is at the list of jobs."""
    await page.evaluate("() => { document.querySelector('.jobs').scrollTop = 0 }")
    return dict(await page.evaluate(SCROLL, {"step": path.step, "jumps": path.jumps, "restMs": path.rest_ms}))


async def scroll_by_processor(page: Page, path: Path) -> dict[str, float]:
    """The same, `longest_task_ms` in processor time: what another process took of a task is not the page's."""
    session = await page.context.new_cdp_session(page)
    events: list[dict[str, Any]] = []
    complete = asyncio.Event()
    session.on("Tracing.dataCollected", lambda said: events.extend(said["value"]))
    session.on("Tracing.tracingComplete", lambda _: complete.set())
    await session.send("Tracing.start", {"categories": "toplevel,blink.user_timing", "transferMode": "ReportEvents"})
    scrolled = await scroll(page, path)
    await session.send("Tracing.end")
    await complete.wait()
    await session.detach()
    begins = next(each for each in events if each["name"] == "scroll-begins")
    tasks = [
        each["tdur"] / 1000
        for each in events
        if each["name"].endswith("RunTask")
        and (each["pid"], each["tid"]) == (begins["pid"], begins["tid"])
        and "tdur" in each  # one that was cut off by the end of the recording has none
        and each["ts"] + each["dur"] >= begins["ts"]
    ]
    return scrolled | {"longest_task_ms": round(max(tasks), 1), "tasks": len(tasks)}
