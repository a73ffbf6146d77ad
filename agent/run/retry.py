"""Whether and when a run that failed is tried again. Pure; `Retry` is what the person wrote in the YAML."""

from __future__ import annotations

from collections.abc import Callable

from agent.model import Outcome, Reason, Retry, Run, Trigger

Rng = Callable[[], float]
"""Uniform in [0, 1), like `random.random`."""

HTTP_FAILURES = (Reason.HTTP_STATUS, Reason.HTTP_ERROR)
"""What `exit_code` in `retry.on` means where no process ends: an HTTP request that failed by itself."""

_LARGEST_EXPONENT = 62
"""Beyond it every cap has long been reached, and floats have not overflowed yet."""


def delay(retry: Retry, attempt: int, rng: Rng) -> float:
    """Seconds to wait after this attempt (from 1): full jitter below `min(cap, base·2^(attempt-1))`.

    Source of the rule: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return rng() * min(retry.cap_s, retry.base_s * 2.0 ** min(attempt - 1, _LARGEST_EXPONENT))


def retry_in(run: Run, outcome: Outcome, rng: Rng) -> float | None:
    """Seconds until the next attempt of this run; None: that was the last one.

    A request may have fewer attempts than its job, never more. What a person cancelled stays cancelled.
    """
    retry = run.job.retry
    if run.trigger is Trigger.EXEC or outcome.reason is None or outcome.reason is Reason.CANCELLED:
        return None
    if not _asked_for(retry, outcome) or run.attempt >= min(run.max_attempts, retry.max_attempts):
        return None
    return delay(retry, run.attempt, rng)


def _asked_for(retry: Retry, outcome: Outcome) -> bool:
    """Whether the job's `retry` names this kind of failure."""
    if outcome.reason is Reason.EXIT_CODE and retry.exit_codes and outcome.exit_code not in retry.exit_codes:
        return False
    if outcome.reason in HTTP_FAILURES and Reason.EXIT_CODE in retry.on:
        return True
    return outcome.reason in retry.on
