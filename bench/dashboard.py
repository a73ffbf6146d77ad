"""The dashboard in a real Chromium: how soon it shows the jobs, how soon an update, how a long list scrolls.

Every load is a browser that was just started, with an empty profile that is signed in and nothing else.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from playwright.async_api import Browser, StorageState, async_playwright

from agent.control.page import Page
from bench import tab
from bench.figures import Effort, Figures, goal, percentiles
from bench.ground import Ground, Person, Project, started, until

FEW, MANY, QUICK_MANY = 100, 5000, 200
"""Jobs of a home, and of a long list."""
RUNS_EACH = 20
LOADS, QUICK_LOADS = 7, 1
UPDATES, QUICK_UPDATES = 60, 3
"""Requests; each is seen to begin and to end."""
GOAL_PAINT_MS, GOAL_UPDATE_MS, GOAL_TASK_MS = 1500, 300, 100
JOBS = "jobs:\n  tick: {shell: 'sleep 0.3'}\n"

ADD_JOBS = """
insert into cron_mirror (project_id, job_id, name, schedule_kind, schedule_expr, tz, agent_ids, source, instructions,
  tags, next_run_at, last_run_at, last_status, last_duration_ms)
select %s, 'job-' || lpad(n::text, 4, '0'), 'Job number ' || n, 'cron', n %% 60 || ' ' || n %% 24 || ' * * *',
  'Europe/Berlin', '{mac}', 'yaml', 'python3 work.py --part ' || n, '{some}', now() + n * interval '1 min',
  now() - n * interval '1 min', case when n %% 20 = 0 then 'error' else 'ok' end, 2000 + n
from generate_series(1, %s) n
"""
ADD_RUNS = """
insert into cron_runs (id, project_id, job_id, agent_id, trigger, scheduled_for, status, started_at, finished_at,
  duration_ms)
select gen_random_uuid(), m.project_id, m.job_id, 'mac', 'schedule', at, 'ok', at, at + interval '2 s', 2000
from cron_mirror m, generate_series(now() - %s * interval '1 h', now() - interval '1 h', interval '1 h') at
where m.project_id = %s
"""
ENDED = """
select id, extract(epoch from picked_up_at)::float8 as claimed, extract(epoch from completed_at)::float8 as ended
from cron_run_requests where project_id = %s and status = 'done'
"""


async def measure(ground: Ground, effort: Effort) -> dict[str, Any]:
    """`{first_rows, updates, scrolling}` and the three bars of the dashboard."""
    if not Page().built:
        raise RuntimeError("the page is not built: make page")
    many = effort.choose(MANY, QUICK_MANY)
    loads = QUICK_LOADS if effort.quick else LOADS
    home, long = await _filled(ground, FEW), await _filled(ground, many)
    first = {
        f"{FEW} jobs": await _first_rows(ground, home.who, loads),
        f"{many} jobs": await _first_rows(ground, long.who, loads),
    }
    updates = await _updates(ground, QUICK_UPDATES if effort.quick else UPDATES)
    scrolling = await _scrolling(ground, long.who, tab.Path(jumps=2, rest_ms=50) if effort.quick else tab.Path())
    slowest = first[f"{FEW} jobs"]["max_ms"]
    return {
        "goals": [
            goal(f"first rows of {FEW} jobs, the slowest load (ms)", slowest, at_most=GOAL_PAINT_MS),
            goal("an update shown, p95 (ms)", updates["all"]["p95_ms"], at_most=GOAL_UPDATE_MS),
            goal(f"longest task, {many:,} rows scrolled (ms)", scrolling["longest_task_ms"], at_most=GOAL_TASK_MS),
        ],
        "loads": loads,
        "first rows": first,
        "update shown": updates,
        "scrolling": {f"{many} jobs": scrolling},
    }


async def _filled(ground: Ground, jobs: int) -> Project:
    project = await ground.project()
    await ground.sql(ADD_JOBS, project.id, jobs)
    await ground.sql(ADD_RUNS, RUNS_EACH, project.id)
    await ground.sql("analyze cron_mirror, cron_runs")
    return project


@asynccontextmanager
async def _browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=tab.chromium(),
            chromium_sandbox=os.geteuid() != 0,  # as root it has none
            args=["--disable-dev-shm-usage", "--disable-gpu"],
        )
        yield running
        await running.close()


async def _signed_in(ground: Ground, who: Person) -> StorageState:
    """What a browser keeps of somebody who signed in once."""
    async with _browser() as browser:
        profile = await browser.new_context()
        page = await profile.new_page()
        await page.goto(ground.url)
        await page.get_by_label("E-mail").fill(who.email)
        await page.get_by_role("textbox", name="Password").fill(who.password)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("heading", name="Jobs").wait_for()
        return await profile.storage_state()


async def _first_rows(ground: Ground, who: Person, loads: int) -> Figures:
    kept = await _signed_in(ground, who)
    times: list[float] = []
    for _ in range(loads):
        async with _browser() as browser:
            profile = await browser.new_context(storage_state=kept)
            times.append(await tab.first_rows_ms(profile, f"{ground.url}/#/jobs"))
    return {"p50_ms": round(statistics.median(times)), "min_ms": round(min(times)), "max_ms": round(max(times))}


async def _updates(ground: Ground, count: int) -> dict[str, Figures]:
    """A real agent claims and ends requests; when its writes are in the document."""
    project = await ground.project()
    agent = await project.agent(JOBS)
    kept = await _signed_in(ground, project.who)
    async with started(agent), _browser() as browser:
        await project.mirrored(agent, 1)
        page = await (await browser.new_context(storage_state=kept)).new_page()
        await page.goto(f"{ground.url}/#/jobs")
        await page.get_by_role("button", name="Live").wait_for()
        await tab.watch_statuses(page)
        for done in range(1, count + 1):
            await project.operator.press_run("tick")
            await until(partial(_shown, ground, project, done))
        await page.wait_for_function("all => Object.values(shown).filter((each) => each.done).length >= all", arg=count)
        rows, seen = await ground.sql(ENDED, project.id), await tab.shown(page)
    begun = tab.delays_ms(rows, seen, "running", "claimed")
    ended = tab.delays_ms(rows, seen, "done", "ended")
    return {"claimed": _figures(begun), "ended": _figures(ended), "all": _figures(begun + ended)}


async def _shown(ground: Ground, project: Project, count: int) -> bool:
    return len(await ground.sql(ENDED, project.id)) >= count


def _figures(delays: list[float]) -> Figures:
    return {"updates": len(delays), **percentiles(delays, 50, 95), "max_ms": round(max(delays), 3)}


async def _scrolling(ground: Ground, who: Person, path: tab.Path) -> Figures:
    kept = await _signed_in(ground, who)
    async with _browser() as browser:
        page = await (await browser.new_context(storage_state=kept)).new_page()
        await page.goto(f"{ground.url}/#/jobs")
        await page.locator("[data-job]").first.wait_for()
        await page.locator(".strip").first.wait_for()
        return await tab.scroll(page, path)
