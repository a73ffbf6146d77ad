"""Rules that concern more than one key, and payload schemas.

Read from the tree, so that they are told next to any other fault of the same job.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.config.connections import connection_faults
from agent.config.cron import cron_fault, shortest_gap_s
from agent.config.faults import ALSO_CALLED
from agent.config.payload import schema_faults
from agent.config.tree import Node, Path
from agent.config.units import NotThisUnit, parse_duration
from agent.model import Retry

_TIMES = ("schedule", "every", "at")
_COMMANDS = ("run", "shell", "http", "python")
_ONE_AT_A_TIME = ("skip", "cancel_previous")
_MEANT_AS_COMMAND = {name for name, key in ALSO_CALLED.items() if key.startswith(("run", "shell", "http", "python"))}


def rule_faults(tree: Node, *, memory_limits: bool) -> Iterator[tuple[Path, str]]:
    """(path, message) of every rule that is broken. `memory_limits`: whether this platform has them."""
    yield from _supabase(tree.child("supabase"))
    yield from connection_faults(tree)
    jobs, defaults = tree.child("jobs"), tree.child("defaults")
    if defaults is not None and (codes := _exit_codes(defaults)) is not None:
        yield from _unused_exit_codes(codes, _reasons(defaults), ("defaults", "retry", "exit_codes"))
    for job_id, entry in ((jobs.entries if jobs else None) or {}).items():
        if entry.node.entries is not None:
            yield from _job(entry.node, ("jobs", job_id))
            yield from _with_defaults(entry.node, defaults, ("jobs", job_id))
    if not memory_limits:
        yield from _unlimitable(tree)


def _job(job: Node, path: Path) -> Iterator[tuple[Path, str]]:
    times = _present(job, _TIMES)
    if len(times) > 1:
        yield (*path, times[1]), f"a job has one of {', '.join(_TIMES)}; keep `{times[0]}` or `{times[1]}`"
    commands = _present(job, _COMMANDS)
    if len(commands) > 1:
        which = f"keep `{commands[0]}` or `{commands[1]}`"
        yield (*path, commands[1]), f"a job has one of {', '.join(_COMMANDS)}; {which}"
    if not commands and not _MEANT_AS_COMMAND & set(job.entries or {}):
        yield path, "says nothing to execute; write `run: [program, argument]` or `shell: script`"
    http = job.child("http")
    if http is not None and not http.null:
        yield from _http(job, http, path)
    payload = job.child("payload")
    if payload is not None and payload.entries is not None:
        for below, message in schema_faults(payload.json()):
            yield (*path, "payload", *below), message


def _http(job: Node, http: Node, path: Path) -> Iterator[tuple[Path, str]]:
    """No process is started, so what concerns one would be a promise not kept."""
    for key in _present(job, ("env", "workdir", "grace")):
        yield (*path, key), "has no meaning beside `http`, which starts no process; drop it"
    limits, retry = job.child("limits"), job.child("retry")
    for key in _present(limits, ("memory", "cpu_time", "nice")) if limits is not None else ():
        yield (*path, "limits", key), "has no meaning beside `http`, which starts no process; drop it"
    if retry is not None and _present(retry, ("exit_codes",)):
        yield (*path, "retry", "exit_codes"), "has no meaning beside `http`; `on: [http_status]` is the nearest"
    bodies = _present(http, ("json", "body"))
    if len(bodies) > 1:
        yield (*path, "http", "body"), "is a second body; keep `json` or `body`"
    if bodies and _present(job, ("payload",)):
        yield (*path, "payload"), f"would be sent nowhere: the body is `http.{bodies[0]}`; keep one of them"


def _with_defaults(job: Node, defaults: Node | None, path: Path) -> Iterator[tuple[Path, str]]:
    """What a job says that means nothing beside another key, its own or the one of the defaults."""
    overlap = _word(job, defaults, "overlap", "skip")
    concurrency = _text(job.child("concurrency"))
    if concurrency not in (None, "1") and overlap in _ONE_AT_A_TIME:
        instead = "write `overlap: allow`, or `queue` for more to wait, or drop it"
        yield (
            (*path, "concurrency"),
            f"has no effect with `overlap: {overlap}`, which never runs two at once; {instead}",
        )
    if _present(job, ("when_offline",)) and _word(job, defaults, "placement", "mine") == "mine":
        yield (*path, "when_offline"), "concerns shared jobs alone; add `placement: any`, or drop it"
    yield from _jitter(job, defaults, path)
    if (codes := _exit_codes(job)) is not None:
        reasons = _reasons(job) or (_reasons(defaults) if defaults is not None else None)
        yield from _unused_exit_codes(codes, reasons, (*path, "retry", "exit_codes"))


def _jitter(job: Node, defaults: Node | None, path: Path) -> Iterator[tuple[Path, str]]:
    """A slot that runs after the next one was due would be missed, or make the next one skip."""
    timing = next(iter(_present(job, ("every", "schedule"))), None)
    jitter = _seconds(_word(job, defaults, "jitter", "0s"))
    period = _period_s(job, timing) if jitter else None  # five hundred slots of a cron expression take a while
    if timing and jitter and period is not None and jitter >= period:
        own = bool(_present(job, ("jitter",)))
        whose = "is" if own else "has a jitter in `defaults` that is"
        shorter = "write a shorter one" if own else "give this job a shorter `jitter`, or `jitter: 0s`"
        yield (*path, "jitter" if own else timing), f"{whose} not shorter than the time between two slots; {shorter}"


def _period_s(job: Node, timing: str | None) -> float | None:
    """The shortest time between two slots; None where there is none, or what is written is at fault anyway."""
    text = _text(job.child(timing)) if timing else None
    if text is None:
        return None
    if timing == "every":
        return _seconds(text)
    return shortest_gap_s(text) if cron_fault(text) is None else None


def _seconds(text: str) -> float | None:
    try:
        return parse_duration(text)
    except NotThisUnit:
        return None


def _unlimitable(tree: Node) -> Iterator[tuple[Path, str]]:
    jobs = tree.child("jobs")
    for section in [("defaults",), *(("jobs", job_id) for job_id in (jobs.entries if jobs else None) or ())]:
        limits = tree.at((*section, "limits"))
        if limits is not None and _present(limits, ("memory",)):
            yield (*section, "limits", "memory"), "cannot be limited on macOS, which ignores it; drop this key"


def _unused_exit_codes(codes: Node, reasons: Node | None, path: Path) -> Iterator[tuple[Path, str]]:
    named = [item.text for item in reasons.items or ()] if reasons is not None else list(Retry().on)
    if codes.items and "exit_code" not in named and not any("$" in (word or "") for word in named):
        yield path, "has no effect: `on` does not name `exit_code`; add it there, or drop this"


def _exit_codes(node: Node) -> Node | None:
    return node.at(("retry", "exit_codes"))


def _reasons(node: Node) -> Node | None:
    return node.at(("retry", "on"))


def _word(job: Node, defaults: Node | None, key: str, otherwise: str) -> str:
    """The word in force, as written: the job's, else the defaults', else the built-in one."""
    common = defaults.child(key) if defaults is not None else None
    return _text(job.child(key)) or _text(common) or otherwise


def _text(node: Node | None) -> str | None:
    return None if node is None or node.null else node.text


def _supabase(supabase: Node | None) -> Iterator[tuple[Path, str]]:
    if supabase is not None and _present(supabase, ("email", "password")) == ["password"]:
        yield ("supabase", "password"), "needs `email:`, the agent's user in Supabase Auth"


def _present(node: Node, keys: tuple[str, ...]) -> list[str]:
    found = []
    for key in keys:
        child = node.child(key)
        if child is not None and not child.null:
            found.append(key)
    return found
