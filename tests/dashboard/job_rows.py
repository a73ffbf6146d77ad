"""The Jobs page as a person sees it: rows by the job's name, what their badges say, the cards above them."""

from __future__ import annotations

import re

from playwright.async_api import Locator, Page, expect

COLOURS = {
    "queued": "yellow",
    "running": "blue",
    "cancelling": "orange",
    "done": "green",
    "ok": "green",
    "error": "red",
    "timeout": "red",
    "cancelled": "gray",
}


def job_table(page: Page) -> Locator:
    """The list of jobs."""
    return page.get_by_role("table", name="Jobs")


def job_row(page: Page, job_id: str) -> Locator:
    """The row of this job, where it is drawn."""
    return job_table(page).locator(f"[data-job='{job_id}']")


def requests(page: Page) -> Locator:
    """The lines of "Recent run requests", the newest first."""
    return page.get_by_role("region", name="Recent run requests").get_by_role("listitem")


def glance(page: Page, name: str) -> Locator:
    """The card of this name; `data-tone` is its colour."""
    return page.get_by_role("region", name="At a glance").locator(".card").filter(has_text=re.compile(f"^{name}"))


async def says(place: Locator, status: str) -> None:
    """The badge there has this status, in its colour; what goes on pulses."""
    badge = place.locator(".status[data-status]").first
    await expect(badge).to_have_attribute("data-status", status)
    await expect(badge).to_have_text(status)
    await expect(badge).to_have_attribute("style", re.compile(f"-{COLOURS[status]}-"))
    pulse = re.compile(r"\bpulse\b")
    if status in ("running", "cancelling"):
        await expect(badge).to_have_class(pulse)
    else:
        await expect(badge).not_to_have_class(pulse)


async def job_ids(page: Page) -> list[str]:
    """Of the rows that are drawn, from top to bottom."""
    rows = job_table(page).locator("[data-job]")
    found: list[tuple[int, str]] = [
        (int(place), job_id)
        for place, job_id in await rows.evaluate_all("all => all.map(each => [each.dataset.index, each.dataset.job])")
    ]
    return [job_id for _, job_id in sorted(found)]
