"""When a token is due, what a success or a failure makes of a standing, and what of that people hear. Pure.

Transient failures (rate limits among them) and permanent ones are counted apart; only permanent ones lead to a new
sign-in, for a provider that is slow or busy says nothing about the login.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from agent.model import (
    INVALID_GRANT,
    Alert,
    Connection,
    Failure,
    FailureKind,
    Grant,
    Standing,
    Thresholds,
    Tokens,
)

SHARE = 1 / 3
"""Of its lifetime: so much of a token is left at most when it is refreshed, or short ones were refreshed for ever."""
PERMANENT_AGAIN_S = 60.0
"""After a permanent failure nobody tries again for so long: a burst of runs is one failure, not three."""
BACKOFF_BASE_S, BACKOFF_CAP_S = 5.0, 300.0
LONGEST_RETRY_AFTER_S = 86_400.0
"""A provider that asks for more is asked once a day."""
ERROR_LENGTH = 500


# ── when a token is due ─────────────────────────────────────────────────────


def renewable(connection: Connection, tokens: Tokens | None) -> bool:
    """Whether there is anything to get new tokens with, without a person."""
    return connection.grant is Grant.CLIENT_CREDENTIALS or bool(tokens and tokens.refresh_token)


def expired(tokens: Tokens, now: datetime) -> bool:
    """Whether an API would refuse the access token."""
    return tokens.expires_at is not None and tokens.expires_at <= now


def lasts(tokens: Tokens | None, now: datetime, seconds: float) -> bool:
    """Whether there is a token that works for so long."""
    return tokens is not None and not expired(tokens, now + timedelta(seconds=seconds))


def expires_within(tokens: Tokens, now: datetime, ahead_s: float) -> bool:
    """Whether it expires within `ahead_s`, which counts for at most `SHARE` of its lifetime."""
    if tokens.expires_at is None:
        return False
    return tokens.expires_at - now <= timedelta(seconds=_capped(tokens, ahead_s))


def outlived(tokens: Tokens, now: datetime, until: datetime) -> bool:
    """Whether it expires before `until`, and a new one would last noticeably longer than this one."""
    if tokens.expires_at is None or tokens.lifetime_s is None or until <= tokens.expires_at:
        return False
    return now - tokens.obtained_at >= timedelta(seconds=tokens.lifetime_s * SHARE)


def due_for_sweep(tokens: Tokens, now: datetime, thresholds: Thresholds) -> bool:
    """The sweep's question."""
    return expires_within(tokens, now, thresholds.sweep_ahead_s)


def due_for_run(tokens: Tokens, now: datetime, timeout_s: float, thresholds: Thresholds) -> bool:
    """The question of a run that begins now and may take `timeout_s`."""
    if expires_within(tokens, now, thresholds.run_ahead_s):
        return True
    return outlived(tokens, now, now + timedelta(seconds=timeout_s))


def due_for_plan(tokens: Tokens, now: datetime, begins: datetime, timeout_s: float, thresholds: Thresholds) -> bool:
    """The question of a run that will begin soon: is a new token better had before it, than while it waits?"""
    if begins - now > timedelta(seconds=_capped(tokens, thresholds.sweep_ahead_s)):
        return False
    return outlived(tokens, now, begins + timedelta(seconds=timeout_s))


def idle(tokens: Tokens, used_at: datetime | None, now: datetime, thresholds: Thresholds) -> bool:
    """Whether neither a refresh nor a run has proved the token for long."""
    proved = max(tokens.obtained_at, used_at) if used_at else tokens.obtained_at
    return now - proved >= timedelta(seconds=thresholds.idle_s)


def backoff_s(failures: int) -> float:
    """Seconds without another try by itself, after so many transient failures in a row."""
    return float(min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** min(max(failures - 1, 0), 16)))


def _capped(tokens: Tokens, ahead_s: float) -> float:
    return ahead_s if tokens.lifetime_s is None else min(ahead_s, tokens.lifetime_s * SHARE)


# ── what becomes of a standing ──────────────────────────────────────────────


def unknown(connection: Connection) -> Standing:
    """Of a connection never heard of: somebody has to sign in, unless the client is its own account."""
    needs_person = connection.grant is not Grant.CLIENT_CREDENTIALS
    return Standing(connection_id=connection.connection_id, provider=connection.provider, needs_reauth=needs_person)


def after_success(standing: Standing, tokens: Tokens) -> Standing:
    """New tokens are on disk: whatever was wrong is over."""
    return replace(
        standing,
        account=tokens.account or standing.account,
        scopes=tokens.scopes or standing.scopes,
        is_active=True,
        token_expires_at=tokens.expires_at,
        needs_reauth=False,
        last_refresh_at=tokens.obtained_at,
        last_refresh_error=None,
        last_failure_kind=None,
        consecutive_failures=0,
        consecutive_transient_failures=0,
        retry_at=None,
    )


def after_failure(standing: Standing, failure: Failure, now: datetime, thresholds: Thresholds) -> Standing:
    """The provider gave none."""
    failed = replace(
        standing,
        last_refresh_error=failure.message[:ERROR_LENGTH],
        last_failure_kind=failure.kind,
        retry_at=_retry_at(failure, now),
    )
    if failure.kind is not FailureKind.PERMANENT:
        return replace(failed, consecutive_transient_failures=standing.consecutive_transient_failures + 1)
    failures = standing.consecutive_failures + 1
    over = failure.code == INVALID_GRANT or failures >= thresholds.disconnect_at
    needs_reauth = standing.needs_reauth or over
    return replace(
        failed,
        consecutive_failures=failures,
        needs_reauth=needs_reauth,
        is_active=standing.is_active and not needs_reauth,
    )


def signed_out(standing: Standing, why: str) -> Standing:
    """There are no tokens (any more), and nothing to get new ones with."""
    return replace(
        standing, is_active=False, token_expires_at=None, needs_reauth=True, last_refresh_error=why, retry_at=None
    )


def dead_end(standing: Standing, tokens: Tokens) -> Standing:
    """The access token has expired and the provider gave nothing to get another one with."""
    why = "The access token has expired, and the provider gave no refresh token with it."
    return replace(signed_out(standing, why), token_expires_at=tokens.expires_at)


def alert_of(before: Standing, after: Standing, thresholds: Thresholds) -> Alert | None:
    """What people hear of the change: each state once, when it begins."""
    if after.needs_reauth:
        return None if before.needs_reauth else Alert.DISCONNECTED
    if before.needs_reauth:
        return Alert.RECONNECTED if before.last_refresh_at else None  # the first sign-in is no return
    if before.consecutive_failures < thresholds.warn_at <= after.consecutive_failures:
        return Alert.WARNING
    notice_at = thresholds.rate_limit_notice_at
    if before.consecutive_transient_failures < notice_at <= after.consecutive_transient_failures:
        return Alert.RATE_LIMIT
    return None


def _retry_at(failure: Failure, now: datetime) -> datetime | None:
    """Before this the provider is not asked again: as it wishes, or so that a burst counts once."""
    wait_s = min(failure.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S)
    if failure.kind is FailureKind.PERMANENT:
        wait_s = max(wait_s, PERMANENT_AGAIN_S)
    return now + timedelta(seconds=wait_s) if wait_s > 0 else None
