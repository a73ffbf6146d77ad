"""Each threshold, and what of a standing people hear."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.connections import policy
from agent.model import Alert, Failure, FailureKind, Grant, Standing, Thresholds, Tokens
from tests.support.fake_connections import BUSY, DEAD, WRONG_CLIENT, a_connection, a_failure

NOON = datetime(2026, 3, 18, 12, tzinfo=UTC)
DEFAULTS = Thresholds()
HOUR = timedelta(hours=1)


def tokens(lifetime: timedelta | None = HOUR, *, left: timedelta | None = None) -> Tokens:
    """With so long to live at noon."""
    expires_at = None if lifetime is None else NOON + (lifetime if left is None else left)
    obtained_at = NOON if lifetime is None or expires_at is None else expires_at - lifetime
    return Tokens(access_token="a", refresh_token="r", obtained_at=obtained_at, expires_at=expires_at)


def standing(**fields) -> Standing:
    return Standing(connection_id="drive", provider="generic", is_active=True, **fields)


@pytest.mark.parametrize(
    ("lifetime", "left", "sweep", "run"),
    [
        (HOUR, timedelta(minutes=21), False, False),
        (HOUR, timedelta(minutes=20), True, False),
        (HOUR, timedelta(minutes=15, seconds=1), True, False),
        (HOUR, timedelta(minutes=15), True, True),
        (HOUR, -HOUR, True, True),
        (2 * HOUR, timedelta(minutes=20, seconds=1), False, False),
        (2 * HOUR, timedelta(minutes=20), True, False),
        (2 * HOUR, timedelta(minutes=15, seconds=1), True, False),
        (2 * HOUR, timedelta(minutes=15), True, True),
        (timedelta(minutes=30), timedelta(minutes=11), False, False),
        (timedelta(minutes=30), timedelta(minutes=10), True, True),
        (timedelta(minutes=5), timedelta(seconds=101), False, False),
        (timedelta(minutes=5), timedelta(seconds=100), True, True),
        (timedelta(days=60), timedelta(days=19), False, False),
        (None, None, False, False),
    ],
)
def test_when_a_token_is_due(lifetime, left, sweep, run) -> None:
    there = tokens(lifetime, left=left)

    assert policy.due_for_sweep(there, NOON, DEFAULTS) is sweep
    assert policy.due_for_run(there, NOON, 1.0, DEFAULTS) is run


@pytest.mark.parametrize(
    ("left", "timeout_s", "due"),
    [(40, 3600.0, True), (41, 3600.0, False), (40, 2300.0, False), (40, 2401.0, True)],
)
def test_a_run_that_outlives_its_token_wants_a_newer_one_if_that_is_worth_it(left, timeout_s, due) -> None:
    assert policy.due_for_run(tokens(left=timedelta(minutes=left)), NOON, timeout_s, DEFAULTS) is due


@pytest.mark.parametrize(("begins", "due"), [(20, True), (21, False)])
def test_a_plan_is_prepared_when_it_is_near(begins, due) -> None:
    there = tokens(left=timedelta(minutes=30))

    assert policy.due_for_plan(there, NOON, NOON + timedelta(minutes=begins), 3600.0, DEFAULTS) is due


def test_what_lasts_for_ever_is_outlived_by_nothing() -> None:
    assert not policy.outlived(tokens(None), NOON, NOON + timedelta(days=10_000))
    assert not policy.expired(tokens(None), NOON)


def test_idle_is_neither_used_nor_refreshed_for_a_day() -> None:
    old = replace(tokens(timedelta(days=60)), obtained_at=NOON - timedelta(days=1))

    assert policy.idle(old, None, NOON, DEFAULTS)
    assert not policy.idle(old, NOON - timedelta(hours=1), NOON, DEFAULTS)
    assert policy.idle(old, NOON - timedelta(days=2), NOON, DEFAULTS)
    assert not policy.idle(old, None, NOON - timedelta(seconds=1), DEFAULTS)


def test_only_a_client_of_its_own_does_without_a_refresh_token() -> None:
    assert policy.renewable(a_connection(grant=Grant.CLIENT_CREDENTIALS), None)
    assert policy.renewable(a_connection(), tokens())
    assert not policy.renewable(a_connection(), replace(tokens(), refresh_token=None))
    assert not policy.renewable(a_connection(), None)


def test_the_wait_between_tries_grows_to_five_minutes() -> None:
    assert [policy.backoff_s(failures) for failures in (1, 2, 3, 7, 100)] == [5, 10, 20, 300, 300]


def fail(before: Standing, *failures: Failure) -> Standing:
    for failure in failures:
        before = policy.after_failure(before, failure, NOON, DEFAULTS)
    return before


def test_permanent_and_transient_failures_are_counted_apart() -> None:
    after = fail(standing(), WRONG_CLIENT, BUSY, a_failure(), BUSY)

    assert (after.consecutive_failures, after.consecutive_transient_failures) == (1, 3)
    assert after.last_failure_kind is FailureKind.RATE_LIMIT
    assert after.last_refresh_error == "The provider said http_429."
    assert after.is_active


def test_a_success_clears_all() -> None:
    after = policy.after_success(fail(standing(account="max"), WRONG_CLIENT, BUSY, DEAD), tokens())

    assert after == standing(account="max", token_expires_at=NOON + HOUR, last_refresh_at=NOON)


def test_a_dead_refresh_token_needs_no_second_failure() -> None:
    after = fail(standing(), DEAD)

    assert after.needs_reauth
    assert not after.is_active


@pytest.mark.parametrize(("failures", "needs"), [(2, False), (3, True), (4, True)])
def test_the_third_permanent_failure_disconnects(failures, needs) -> None:
    after = fail(standing(), *[WRONG_CLIENT] * failures)

    assert after.needs_reauth is needs
    assert after.is_active is not needs


@pytest.mark.parametrize("failure", [BUSY, a_failure(), a_failure(code="timeout")])
def test_transient_ones_never_do(failure) -> None:
    assert not fail(standing(), *[failure] * 1_000).needs_reauth


def test_people_hear_of_each_state_once() -> None:
    said, here = [], standing()
    for failure in [WRONG_CLIENT, *[BUSY] * 7, WRONG_CLIENT, BUSY, WRONG_CLIENT, WRONG_CLIENT, BUSY]:
        after = fail(here, failure)
        said.append(policy.alert_of(here, after, DEFAULTS))
        here = after

    told = {number: alert for number, alert in enumerate(said) if alert}
    assert told == {5: Alert.RATE_LIMIT, 8: Alert.WARNING, 10: Alert.DISCONNECTED}
    back = policy.after_success(replace(here, last_refresh_at=NOON), tokens())
    assert policy.alert_of(replace(here, last_refresh_at=NOON), back, DEFAULTS) is Alert.RECONNECTED
    assert policy.alert_of(here, back, DEFAULTS) is None, "the first sign-in is no return"


@pytest.mark.parametrize(
    ("failure", "wait_s"),
    [
        (replace(BUSY, retry_after_s=90.0), 90),
        (replace(BUSY, retry_after_s=1e9), 86_400),
        (BUSY, None),
        (WRONG_CLIENT, 60),
        (replace(WRONG_CLIENT, retry_after_s=90.0), 90),
    ],
)
def test_when_the_provider_may_be_asked_again(failure, wait_s) -> None:
    after = fail(standing(), failure)

    assert after.retry_at == (None if wait_s is None else NOON + timedelta(seconds=wait_s))


def test_an_error_is_cut_to_what_the_database_takes() -> None:
    assert len(fail(standing(), replace(BUSY, message="x" * 900)).last_refresh_error or "") == 500
