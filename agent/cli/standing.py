"""A standing in words: one screen, times in the person's zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from agent.app.standing import Standing
from agent.cli.output import ago, duration, local, plain
from agent.cli.pause import describe
from agent.config.units import format_size

Line = tuple[str, str, str]
"""What it is about, the text, a style of rich or nothing."""

SKEW_SHOWN_MS = 1000
_CAUSES = {"offline": "Supabase was not reached", "asleep": "the machine slept", "agent_down": "no agent ran"}


def lines_of(standing: Standing, now: datetime) -> Iterator[Line]:
    """From what matters most to what comes next."""
    yield (
        ("agent", f"running ({standing.process})", "green") if standing.process else ("agent", "not running", "yellow")
    )
    yield from _pauses(standing, now)
    yield from _life(standing, now)
    yield from _outage(standing, now)
    yield from _outbox(standing, now)
    if standing.process:
        for run in standing.journal.running:
            yield "runs now", f"{plain(run.job_id)} since {local(run.started_at)} ({ago(run.started_at, now)})", "blue"
    held = standing.box_pause or standing.operators_pause
    for job_id, at in () if held else standing.upcoming:
        yield "next", f"{plain(job_id)} {ago(at, now)} ({local(at)})", ""


def _pauses(standing: Standing, now: datetime) -> Iterator[Line]:
    if standing.box_pause:
        yield "paused", f"on this box: {describe(standing.box_pause, now)}", "yellow"
    if told := standing.operators_pause:
        until = f" until {local(told.until)} ({ago(told.until, now)})" if told.until else ""
        what = "the schedule" if told.mode == "schedule" else "schedule and requests"
        yield "paused", f"by operators of the project: {what}{until}", "yellow"


def _life(standing: Standing, now: datetime) -> Iterator[Line]:
    life = standing.life
    if not life:
        return
    since = datetime.fromisoformat(life["since"])
    if not standing.process:
        alive = datetime.fromisoformat(life["alive"])
        yield "last seen", f"{local(alive)} ({ago(alive, now)})", ""
    elif life["answers"]:
        realtime = _realtime(life["realtime"], now)
        yield "Supabase", f"answers since {local(since)} ({ago(since, now)}); Realtime {realtime}", ""
    else:
        why = plain(life["why"]) or "not asked yet"
        yield "Supabase", f"does not answer since {local(since)} ({ago(since, now)}): {why}", "red"
    skew_ms = life["skew_ms"] or 0
    if abs(skew_ms) >= SKEW_SHOWN_MS:
        side = "ahead of" if skew_ms > 0 else "behind"
        yield "clock", f"{duration(abs(skew_ms))} {side} Supabase's", "yellow"


def _realtime(told: str, now: datetime) -> str:
    """What the agent notes of it (`connected since <ISO 8601>`, `polling: <why>`), its time in the person's zone."""
    words, _, when = told.rpartition(" ")
    try:
        since = datetime.fromisoformat(when)
    except ValueError:
        return plain(told)
    return f"{plain(words)} {local(since)} ({ago(since, now)})"


def _outage(standing: Standing, now: datetime) -> Iterator[Line]:
    outage = standing.outage
    if not outage:
        return
    begin, end = datetime.fromisoformat(outage["from"]), datetime.fromisoformat(outage["to"])
    took = duration(round((end - begin).total_seconds() * 1000))
    cause = _CAUSES.get(outage["cause"], plain(str(outage["cause"])))
    counts = f"{outage['slots_missed']} slots missed, {outage['requests_waiting']} requests waited"
    yield "outage", f"last: {local(begin)} – {local(end)} ({took}, ended {ago(end, now)}): {cause}; {counts}", ""


def _outbox(standing: Standing, now: datetime) -> Iterator[Line]:
    journal = standing.journal
    if journal.waiting:
        size = format_size(max(1, round(journal.bytes / 1024)) * 1024)
        yield "outbox", f"{journal.waiting:,} reports wait ({size}), the oldest from {ago(journal.oldest_at, now)}", ""
    else:
        yield "outbox", "empty", ""
    if journal.aside_count:
        yield "set aside", f"{journal.aside_count:,} reports that Supabase refuses for good; the newest:", "red"
    for each in journal.aside:
        yield "", f"{plain(each.report.job_id)} {each.report.run_id} ({each.report.status}): {plain(each.why)}", ""
