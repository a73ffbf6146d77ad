from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model import Outcome, Reason, Retry, RunStatus, Trigger
from agent.run.retry import delay, retry_in
from tests.support.fake_runs import a_job, a_run

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
THRICE = a_job(retry=Retry(max_attempts=3, base_s=30.0, cap_s=3600.0))


def ended(reason: Reason | None) -> Outcome:
    status = RunStatus.ERROR if reason else RunStatus.OK
    return Outcome(status=status, reason=reason, started_at=NOW, finished_at=NOW)


def test_the_wait_doubles_up_to_the_cap():
    waits = [delay(Retry(base_s=30.0, cap_s=200.0), attempt, lambda: 1.0) for attempt in range(1, 6)]
    assert waits == [30.0, 60.0, 120.0, 200.0, 200.0]


@given(st.integers(1, 100_000), st.floats(0, 1, exclude_max=True), st.floats(0, 1e6), st.floats(0, 1e9))
def test_the_wait_is_never_negative_nor_above_the_cap(attempt: int, dice: float, base_s: float, cap_s: float):
    assert 0 <= delay(Retry(base_s=base_s, cap_s=cap_s), attempt, lambda: dice) <= cap_s


def test_the_whole_range_is_used():
    assert delay(Retry(base_s=30.0), 2, lambda: 0.0) == 0
    assert delay(Retry(base_s=30.0), 2, lambda: 0.25) == 15.0


@pytest.mark.parametrize(("attempt", "again"), [(1, True), (2, True), (3, False), (4, False)])
def test_attempts_are_counted(attempt: int, again: bool):
    run = a_run(THRICE, attempt=attempt)
    assert (retry_in(run, ended(Reason.EXIT_CODE), lambda: 0.5) is not None) is again


def test_by_default_nothing_is_tried_again():
    assert retry_in(a_run(a_job()), ended(Reason.EXIT_CODE), lambda: 0.5) is None


@pytest.mark.parametrize(("allowed", "again"), [(1, False), (2, True), (9, True)])
def test_a_request_may_lower_the_attempts(allowed: int, again: bool):
    run = a_run(THRICE, attempt=1, max_attempts=allowed)
    assert (retry_in(run, ended(Reason.TIMEOUT), lambda: 0.5) is not None) is again


def test_a_request_may_not_raise_the_attempts():
    assert retry_in(a_run(THRICE, attempt=3, max_attempts=9), ended(Reason.TIMEOUT), lambda: 0.5) is None


@pytest.mark.parametrize("reason", [None, Reason.SIGNAL, Reason.LOST, Reason.SHUTDOWN, Reason.SPAWN_FAILED])
def test_only_the_named_reasons_are_tried_again(reason: Reason | None):
    assert retry_in(a_run(THRICE), ended(reason), lambda: 0.5) is None


def test_a_lost_or_shut_down_run_is_tried_again_where_the_job_says_so():
    job = a_job(retry=Retry(max_attempts=2, on=frozenset({"lost", "shutdown"})))
    for reason in (Reason.LOST, Reason.SHUTDOWN):
        assert retry_in(a_run(job), ended(reason), lambda: 0.5) == 15.0


def test_where_exit_codes_are_named_only_these_are_tried_again():
    job = a_job(retry=Retry(max_attempts=2, exit_codes=frozenset({75, 111})))
    for code, again in ((75, True), (111, True), (1, False), (None, False)):
        outcome = replace(ended(Reason.EXIT_CODE), exit_code=code)
        assert (retry_in(a_run(job), outcome, lambda: 0.5) is not None) is again, code
    assert retry_in(a_run(job), ended(Reason.TIMEOUT), lambda: 0.5) is not None


@pytest.mark.parametrize("reason", [Reason.HTTP_STATUS, Reason.HTTP_ERROR])
def test_exit_code_stands_for_every_failure_of_a_request(reason: Reason):
    assert retry_in(a_run(THRICE), ended(reason), lambda: 0.5) is not None
    narrow = a_job(retry=Retry(max_attempts=2, on=frozenset({"http_status"})))
    assert (retry_in(a_run(narrow), ended(reason), lambda: 0.5) is not None) is (reason is Reason.HTTP_STATUS)


def test_what_a_person_cancelled_stays_cancelled():
    job = a_job(retry=Retry(max_attempts=2, on=frozenset({"cancelled"})))
    assert retry_in(a_run(job), ended(Reason.CANCELLED), lambda: 0.5) is None


def test_what_was_run_by_hand_is_not_tried_again():
    assert retry_in(a_run(THRICE, trigger=Trigger.EXEC), ended(Reason.EXIT_CODE), lambda: 0.5) is None
