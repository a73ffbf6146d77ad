"""What is said at the end of a run: which limit ended it, what the answer to a request was."""

from __future__ import annotations

import signal

import pytest

from agent.model import Command, HttpCall, PythonCall, Reason, RunLimits, RunStatus
from agent.ports import HttpEnd, ProcessEnd
from agent.run.ending import NOT_CALLED, answer_ending, ending
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


def test_a_function_that_was_not_called_is_named():
    run = a_run(a_job(command=Command(python=PythonCall(module="a.b", function="c"))))
    _, reason, said = ending(run, ProcessEnd(exit_code=NOT_CALLED), None)
    assert (reason, said) == (
        Reason.EXIT_CODE,
        "Exit code 78: a.b:c was not called; stderr says why and what to do.",
    )
    assert ending(run, ProcessEnd(exit_code=1), None)[2] == "Exit code 1."


@pytest.mark.parametrize(
    ("end", "status", "reason", "said"),
    [
        (HttpEnd(status=201), RunStatus.OK, None, None),
        (HttpEnd(status=404), RunStatus.OK, None, None),
        (
            HttpEnd(status=500, phrase="Oh"),
            RunStatus.ERROR,
            Reason.HTTP_STATUS,
            "The answer was 500 Oh, expected was 200-204, 404.",
        ),
        (
            HttpEnd(status=301, location="https://b.example"),
            RunStatus.ERROR,
            Reason.HTTP_STATUS,
            "The answer was 301, expected was 200-204, 404; it points to https://b.example: "  # noqa: ISC004
            "correct `url`, or set `follow_redirects: true`.",
        ),
        (HttpEnd(error="Nobody there."), RunStatus.ERROR, Reason.HTTP_ERROR, "Nobody there."),
        (HttpEnd(timed_out=True), RunStatus.TIMEOUT, Reason.TIMEOUT, "No whole answer within its timeout of 600 s."),
        (HttpEnd(cancelled=True), RunStatus.CANCELLED, Reason.CANCELLED, "Cancelled on request."),
    ],
)
def test_the_end_of_a_request(end, status, reason, said):
    call = HttpCall(url="https://a.example", expect=((200, 204), (404, 404)))
    assert answer_ending(a_run(a_job(command=Command(http=call))), end, "cancelled") == (status, reason, said)
