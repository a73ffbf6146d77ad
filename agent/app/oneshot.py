"""One job, here and now, without Supabase: what `cronmirror exec` does."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Mapping
from uuid import uuid4

from agent.adapters.clock import SystemClock
from agent.adapters.files import StateDir
from agent.adapters.http_job import HttpJobs
from agent.adapters.payloads import PayloadFiles
from agent.adapters.process import GroupProcesses
from agent.adapters.sqlite import Journal
from agent.app.connections import keeping
from agent.app.home import home_of
from agent.config.config import Config
from agent.errors import ConfigError, Problem
from agent.model import Json, Outcome, Request, Run, Trigger
from agent.ports import OutputSink
from agent.run.cancel import CancelSwitch
from agent.run.executor import Edges, Executor
from agent.run.live import Redacting
from agent.run.redact import Redactor


async def execute_here(
    config: Config, state: StateDir, job_id: str, payload: Json, live: OutputSink, environ: Mapping[str, str]
) -> Outcome:
    """Run `job_id` once; its output goes to `live` as it comes, the run into the local history. Ctrl-C ends it.

    Raises `ConfigError` for an unknown job, `StateError` when the history can't be written.
    """
    job = config.job(job_id)
    if job is None:
        known = ", ".join(each.id for each in config.jobs) or "none"
        raise ConfigError(
            [Problem(file=config.file, path="jobs", message=f'there is no job "{job_id}"; there are: {known}')]
        )
    clock = SystemClock()
    journal = await Journal.open(state.database, clock, mend=False)
    calls, stack = HttpJobs(), contextlib.AsyncExitStack()
    try:
        redactor = Redactor(config.secrets)
        kept = await stack.enter_async_context(keeping(lambda: config, state, redactor)) if job.connection else None
        executor = Executor(
            Edges(
                clock=clock,
                processes=GroupProcesses(),
                calls=calls,
                journal=journal,
                payloads=PayloadFiles(state.payloads),
                tokens=kept.keeper if kept else None,
            ),
            redactor,
            home_of(config, config.agent_id or "exec", environ),
            live=lambda _: Redacting(live, redactor),
        )
        asked = Request(id=uuid4(), job_id=job.id, claims=0, attempts=1, max_attempts=1, payload=payload)
        request = asked if payload is not None else None
        run = Run(id=uuid4(), job=job, trigger=Trigger.EXEC, request=request)
        switch = CancelSwitch()
        with _interruptible(switch):
            outcome = await executor.execute(run, switch)
        assert outcome is not None  # noqa: S101 - only slots of a schedule are left to another time
        return outcome
    finally:
        await stack.aclose()
        await calls.aclose()
        await journal.close()


@contextlib.contextmanager
def _interruptible(switch: CancelSwitch) -> Iterator[None]:
    """SIGINT and SIGTERM end the job (TERM → grace → KILL), not us."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, switch.set, "cancelled")
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
