"""The sentence at the end of a run says which limit ended it, where that can be known."""

from __future__ import annotations

import signal

import pytest

from agent.model import Command, Reason, RunLimits
from agent.ports import ProcessEnd
from agent.run.ending import ending
from tests.support.fake_runs import a_job, a_run

LIMITED = RunLimits(cpu_time_s=5400, memory_bytes=2**29)


@pytest.mark.parametrize(
    ("code", "limits", "reason", "sentence"),
    [
        (-signal.SIGXCPU, LIMITED, Reason.SIGNAL, ": its cpu_time limit of 1h30m was used up."),
        (128 + signal.SIGXCPU, LIMITED, Reason.EXIT_CODE, ": its cpu_time limit of 1h30m was used up."),
        (-signal.SIGKILL, LIMITED, Reason.SIGNAL, ": perhaps its cpu_time limit of 1h30m was used up."),
        (-signal.SIGSEGV, LIMITED, Reason.SIGNAL, ": perhaps its memory limit of 512 MiB was too small."),
        (-signal.SIGXCPU, RunLimits(), Reason.SIGNAL, "which the agent did not send."),
        (-signal.SIGTERM, LIMITED, Reason.SIGNAL, "which the agent did not send."),
        (1, LIMITED, Reason.EXIT_CODE, "Exit code 1."),
    ],
)
def test_a_limit_that_ended_the_run_is_named(code, limits, reason, sentence):
    run = a_run(a_job(command=Command(argv=("x",)), limits=limits))
    _, why, said = ending(run, ProcessEnd(exit_code=code), None)
    assert (why, (said or "").endswith(sentence)) == (reason, True), said
