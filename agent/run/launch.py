"""What to start for a run: arguments, environment, payload. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from agent.model import Command, Json, Run, Trigger
from agent.ports import Payloads, ProcessSpec

OWN_PREFIX = "CRONMIRROR_"
"""Variables of the agent stay with it (a password is among them); a run gets those that describe the run."""

_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class Home:
    """Where runs live: whose they are and what they inherit."""

    project: str
    agent_id: str
    base_env: Mapping[str, str]
    """The inherited environment without the agent's own secrets; `CRONMIRROR_*` is left out here."""
    workdir: str
    """Of jobs that name none: the user's home directory, absolute."""
    python: str
    """Interpreter of `python` jobs that name none, absolute."""
    python_call: str
    """The program that calls a function in such an interpreter, absolute."""

    @cached_property
    def inherited(self) -> Mapping[str, str]:
        """What every run gets of `base_env`."""
        return {name: value for name, value in self.base_env.items() if not name.startswith(OWN_PREFIX)}


def refusal(run: Run, payloads: Payloads) -> str | None:
    """Why this run must not begin, one sentence; None when it may."""
    job, payload = run.job, run.request.payload if run.request else None
    if not job.enabled and run.trigger is not Trigger.EXEC:
        return f'Job "{job.id}" is disabled; set `enabled: true` in its YAML.'
    if job.payload_schema is None:
        if payload is None:
            return None
        return f'Job "{job.id}" takes no payload; send none, or declare `payload:` in its YAML.'
    if run.request is None:
        return None
    fault = payloads.fault(job.payload_schema, payload_of(run))
    return f'The payload does not fit job "{job.id}": {fault}' if fault else None


def payload_of(run: Run) -> Json:
    """What is handed over to the job; None: nothing. A request without a payload says as much as an empty object."""
    if run.request is None or run.job.payload_schema is None:
        return None
    return {} if run.request.payload is None else run.request.payload


def process_spec(run: Run, home: Home, payload_file: str | None, token: Mapping[str, str] = _NOTHING) -> ProcessSpec:
    """The process of a run. Nothing that comes from a request, and no token, is part of its arguments."""
    return ProcessSpec(
        argv=arguments(run.job.command, home),
        env=_environment(run, home, payload_file, token),
        workdir=run.job.command.workdir or home.workdir,
        stdin=_stdin(run, with_payload=payload_file is not None),
        timeout_s=run.job.timeout_s,
        grace_s=run.job.grace_s,
        limits=run.job.limits,
    )


def arguments(command: Command, home: Home) -> tuple[str, ...]:
    """The command line: `run` as it stands, `shell` through the shell, `python` through the program that calls it."""
    if command.shell is not None:
        return ("/bin/sh", "-c", command.shell)
    if command.python is not None:
        call = command.python
        return (call.interpreter or home.python, "-u", home.python_call, f"{call.module}:{call.function}")
    return command.argv


def _stdin(run: Run, *, with_payload: bool) -> bytes | None:
    """The payload; for `python` the whole call, for its arguments may be secrets, which `ps` must not show."""
    call = run.job.command.python
    payload = {"payload": payload_of(run)} if with_payload else {}
    if call is not None:
        return json.dumps({"args": call.args, "kwargs": dict(call.kwargs), **payload}).encode()
    return json.dumps(payload["payload"]).encode() if payload else None


def _environment(run: Run, home: Home, payload_file: str | None, token: Mapping[str, str]) -> dict[str, str]:
    """Inherited, then the job's own, then its connection's, then the run's, which none of them can forge."""
    about: dict[str, str | None] = {
        "RUN_ID": str(run.id),
        "JOB_ID": run.job.id,
        "PROJECT": home.project,
        "TRIGGER": run.trigger,
        "ATTEMPT": str(run.attempt),
        "SCHEDULED_FOR": run.scheduled_for.isoformat() if run.scheduled_for else None,
        "REQUEST_ID": str(run.request.id) if run.request else None,
        "PAYLOAD": payload_file,
    }
    own = {OWN_PREFIX + name: value for name, value in about.items() if value is not None}
    return {**home.inherited, **run.job.command.env, **token, **own}
