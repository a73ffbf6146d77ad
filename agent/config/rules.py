"""Rules that concern more than one key, and payload schemas.

Read from the tree, so that they are told next to any other fault of the same job.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.config.faults import ALSO_CALLED
from agent.config.payload import schema_faults
from agent.config.tree import Node, Path

_TIMES = ("schedule", "every", "at")
_COMMANDS = ("run", "shell")
_MEANT_AS_COMMAND = {"http", *(name for name, key in ALSO_CALLED.items() if "shell" in key)}


def rule_faults(tree: Node) -> Iterator[tuple[Path, str]]:
    """(path, message) of every rule that is broken."""
    yield from _supabase(tree.child("supabase"))
    jobs = tree.child("jobs")
    for job_id, entry in ((jobs.entries if jobs else None) or {}).items():
        if entry.node.entries is not None:
            yield from _job(entry.node, ("jobs", job_id))


def _job(job: Node, path: Path) -> Iterator[tuple[Path, str]]:
    times = _present(job, _TIMES)
    if len(times) > 1:
        yield (*path, times[1]), f"a job has one of {', '.join(_TIMES)}; keep `{times[0]}` or `{times[1]}`"
    commands = _present(job, _COMMANDS)
    if len(commands) > 1:
        yield (*path, "shell"), "a job has either `run` or `shell`; keep one of them"
    if not commands and not _MEANT_AS_COMMAND & set(job.entries or {}):
        yield path, "says nothing to execute; write `run: [program, argument]` or `shell: script`"
    payload = job.child("payload")
    if payload is not None and payload.entries is not None:
        for below, message in schema_faults(payload.json()):
            yield (*path, "payload", *below), message


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
