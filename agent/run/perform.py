"""What a run executes, by the kind of its command: a process (`run`, `shell`, `python`), or a request (`http`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from agent.errors import StateError
from agent.model import GivenToken, HandOver, HttpCall, Run
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

    async def perform(self, run: Run, token: GivenToken | None, sink: OutputSink, cancel: CancelFlag) -> Performance:
        """From the first to the last thing that the command does."""
        if cancel.reason:
            return Performance(ending=stopped(cancel.reason))
        if run.job.command.http is not None:
            call = request(run, run.job.command.http, token)
            answer = await self._calls.send(call, run.job.timeout_s, sink, cancel)
            return Performance(ending=answer_ending(run, answer, cancel.reason))
        end = await self._process(run, token, sink, cancel)
        return Performance(ending=ending(run, end, cancel.reason), exit_code=end.exit_code)

    async def _process(self, run: Run, token: GivenToken | None, sink: OutputSink, cancel: CancelFlag) -> ProcessEnd:
        """The process and the files around it: the payload, and the token where it is handed over so."""
        payload = payload_of(run)
        token_file = token.token if token is not None and token.hand_over is HandOver.FILE else None
        try:
            file = self._payloads.write(run.id, payload) if payload is not None else None
            about_token = self._variable(run, token)
            return await self._processes.run(process_spec(run, self._home, file, about_token), sink, cancel)
        except StateError as err:
            what = "token" if payload is None else "payload"
            return ProcessEnd(exit_code=None, spawn_error=f"Not started, the {what} could not be handed over: {err}")
        finally:
            if payload is not None or token_file is not None:
                self._payloads.remove(run.id)

    def _variable(self, run: Run, token: GivenToken | None) -> Mapping[str, str]:
        """What the process finds its token by. Raises `StateError`."""
        if token is None or token.token is None:
            return {}
        in_file = token.hand_over is HandOver.FILE
        return {token.variable: self._payloads.write_token(run.id, token.token) if in_file else token.token}


def request(run: Run, call: HttpCall, token: GivenToken | None = None) -> HttpCall:
    """The request with the run's payload as its body, and its token, where it has none of its own."""
    payload = payload_of(run)
    named = {name.lower() for name in call.headers}
    if token is not None and "authorization" not in named:
        call = replace(call, headers={**call.headers, "Authorization": f"{token.token_type} {token.token}"})
    if payload is None or call.body is not None:
        return call
    typed = "content-type" in named
    headers = call.headers if typed else {**call.headers, "Content-Type": _JSON}
    return replace(call, body=json.dumps(payload).encode(), headers=headers)
