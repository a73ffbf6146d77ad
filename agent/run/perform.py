"""What a run executes, by the kind of its command: a process (`run`, `shell`, `python`), or a request (`http`)."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from agent.errors import StateError
from agent.model import HttpCall, Run
from agent.ports import CancelFlag, HttpCalls, OutputSink, Payloads, ProcessEnd, Processes
from agent.run.ending import Ending, answer_ending, ending, stopped
from agent.run.launch import Home, payload_of, process_spec

_JSON = "application/json"


@dataclass(frozen=True, kw_only=True)
class Performance:
    """How it ended, and with which exit code where there was a process."""

    ending: Ending
    exit_code: int | None = None


class Performer:
    """Performs commands; nothing they do is raised."""

    def __init__(self, processes: Processes, calls: HttpCalls, payloads: Payloads, home: Home) -> None:
        self._processes = processes
        self._calls = calls
        self._payloads = payloads
        self._home = home

    async def perform(self, run: Run, sink: OutputSink, cancel: CancelFlag) -> Performance:
        """From the first to the last thing that the command does."""
        if cancel.reason:
            return Performance(ending=stopped(cancel.reason))
        if run.job.command.http is not None:
            answer = await self._calls.send(request(run, run.job.command.http), run.job.timeout_s, sink, cancel)
            return Performance(ending=answer_ending(run, answer, cancel.reason))
        end = await self._process(run, sink, cancel)
        return Performance(ending=ending(run, end, cancel.reason), exit_code=end.exit_code)

    async def _process(self, run: Run, sink: OutputSink, cancel: CancelFlag) -> ProcessEnd:
        """The process and the payload file around it."""
        payload = payload_of(run)
        try:
            file = self._payloads.write(run.id, payload) if payload is not None else None
            return await self._processes.run(process_spec(run, self._home, file), sink, cancel)
        except StateError as err:
            return ProcessEnd(exit_code=None, spawn_error=f"Not started, the payload could not be handed over: {err}")
        finally:
            if payload is not None:
                self._payloads.remove(run.id)


def request(run: Run, call: HttpCall) -> HttpCall:
    """The request with the run's payload as its body, where it has one and no body of its own."""
    payload = payload_of(run)
    if payload is None or call.body is not None:
        return call
    typed = "content-type" in {name.lower() for name in call.headers}
    headers = call.headers if typed else {**call.headers, "Content-Type": _JSON}
    return replace(call, body=json.dumps(payload).encode(), headers=headers)
