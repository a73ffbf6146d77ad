"""From how a process ended to how the run ended, in the words of the model. Pure."""

from __future__ import annotations

import signal

from agent.model import Command, Reason, Run, RunLimits, RunStatus
from agent.ports import HttpEnd, ProcessEnd

Ending = tuple[RunStatus, Reason | None, str | None]
"""Status, reason, and one sentence for people."""

_STOPPED: dict[str, Ending] = {
    Reason.CANCELLED: (RunStatus.CANCELLED, Reason.CANCELLED, "Cancelled on request."),
    Reason.OVERLAP: (
        RunStatus.CANCELLED,
        Reason.OVERLAP,
        "Ended because the next run of the job was due (`overlap: cancel_previous`).",
    ),
    Reason.SHUTDOWN: (
        RunStatus.CANCELLED,
        Reason.SHUTDOWN,
        "Ended because the agent was stopped; a longer `drain_timeout` would let it finish.",
    ),
    Reason.LOST: (
        RunStatus.LOST,
        Reason.LOST,
        "Ended because the request is no longer this agent's: its lease expired, or its row is gone.",
    ),
}
_SHELL_CODES = {
    126: "a command in it was found but could not be executed (permissions?)",
    127: "a command in it was not found; compare its PATH, see `env:`",
}
"""POSIX, Shell Command Language, 2.8.2 Exit Status for Commands."""
_SHELL_SIGNAL = 128
_OUT_OF_MEMORY = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGTRAP, signal.SIGILL)
"""How programs end that are refused memory and do not expect it (SIGTRAP: node)."""
NOT_CALLED = 78
"""Exit code of `python_call` where it could not call the function: EX_CONFIG of sysexits.h."""


def stopped(reason: str) -> Ending:
    """The run was told to end, for a `Reason` that a cancel flag may hold."""
    return _STOPPED.get(reason, _STOPPED[Reason.CANCELLED])


def ending(run: Run, end: ProcessEnd, stop_reason: str | None) -> Ending:
    """`stop_reason` is what the cancel flag says; it counts only where the process ended because of it."""
    if end.spawn_error:
        return RunStatus.ERROR, Reason.SPAWN_FAILED, end.spawn_error
    if end.cancelled and stop_reason:
        return stopped(stop_reason)
    if end.timed_out:
        return RunStatus.TIMEOUT, Reason.TIMEOUT, f"Ended after its timeout of {run.job.timeout_s:g} s."
    if end.exit_code == 0:
        return RunStatus.OK, None, None
    limit = _limit_met(end.exit_code, run.job.limits)
    if end.exit_code is None or end.exit_code < 0:
        by = f"Ended by {_signal_name(end.exit_code)}, which the agent did not send"
        return RunStatus.ERROR, Reason.SIGNAL, f"{by}{limit}."
    if limit:
        return RunStatus.ERROR, Reason.EXIT_CODE, f"Exit code {end.exit_code}{limit}."
    hint = _hint(run.job.command, end.exit_code)
    return RunStatus.ERROR, Reason.EXIT_CODE, f"Exit code {end.exit_code}{f': {hint}' if hint else ''}."


def answer_ending(run: Run, end: HttpEnd, stop_reason: str | None) -> Ending:
    """The same for an HTTP request."""
    if end.cancelled and stop_reason:
        return stopped(stop_reason)
    if end.timed_out:
        return RunStatus.TIMEOUT, Reason.TIMEOUT, f"No whole answer within its timeout of {run.job.timeout_s:g} s."
    call = run.job.command.http
    if end.error is not None or end.status is None or call is None:
        return RunStatus.ERROR, Reason.HTTP_ERROR, end.error or "There was no answer."
    if any(first <= end.status <= last for first, last in call.expect):
        return RunStatus.OK, None, None
    expected = ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in call.expect)
    answer = f"The answer was {end.status}{f' {end.phrase}' if end.phrase else ''}, expected was {expected}"
    hint = f"; it points to {end.location}: correct `url`, or set `follow_redirects: true`" if end.location else ""
    return RunStatus.ERROR, Reason.HTTP_STATUS, f"{answer}{hint}."


def _hint(command: Command, exit_code: int) -> str | None:
    """What an exit code means by convention."""
    if command.shell is not None:
        return _SHELL_CODES.get(exit_code)
    if command.python is not None and exit_code == NOT_CALLED:
        return f"{command.python.module}:{command.python.function} was not called; stderr says why and what to do"
    return None


def _limit_met(exit_code: int | None, limits: RunLimits) -> str:
    """Which limit ended the run, as the end of a sentence; empty where none can have.

    A shell passes on how its command ended: 128 and the number of the signal (POSIX, 2.8.2).
    """
    number = -exit_code if exit_code is not None and exit_code < 0 else (exit_code or 0) - _SHELL_SIGNAL
    if limits.cpu_time_s is not None and number in (signal.SIGXCPU, signal.SIGKILL):
        sure = "" if number == signal.SIGXCPU else "perhaps "
        return f": {sure}its cpu_time limit of {_minutes(limits.cpu_time_s)} was used up"
    if limits.memory_bytes is not None and number in _OUT_OF_MEMORY:
        return f": perhaps its memory limit of {limits.memory_bytes // 2**20} MiB was too small"
    return ""


def _minutes(seconds: float) -> str:
    """As it is written in the YAML: `5m`, `1h30m`."""
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{count:g}{unit}" for count, unit in parts if count)


def _signal_name(exit_code: int | None) -> str:
    try:
        return f"signal {-exit_code} ({signal.Signals(-exit_code).name})" if exit_code else "an unknown signal"
    except ValueError:
        return f"signal {-exit_code}" if exit_code else "an unknown signal"
