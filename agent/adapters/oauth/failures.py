"""What a refusal says about the login: nothing (transient, rate limit), or that it is refused for good.

In doubt nothing: a job that fails once more is cheaper than a person who signs in for no reason. Providers' own
words are in a table, tests/adapters/oauth/refusals.txt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from agent.model import INVALID_GRANT, Failure, FailureKind, Json

LONGEST_MESSAGE = 500
LONGEST_WAIT_S = 86_400.0
"""Of a provider's wish, so much at most is heeded."""
MASK = "***"

_TOO_MANY = 429
_LATER = {408, 425}
_REFUSES = {400, 401, 403}
"""Where an OAuth server's refusal comes with (RFC 6749 §5.2); anything else was said by something in between."""
_SERVER = 500

_RATE_LIMITS = {"slow_down", "ratelimited", "rate_limited", "rate_limit", "rate_limit_exceeded", "ratelimitexceeded",
                "too_many_requests", "throttled", "throttling", "rate_limits", "user_rate_limit_exceeded"}  # fmt: skip
_TRANSIENT = {"temporarily_unavailable", "server_error", "internal_error", "internal_server_error", "internal_failure",
              "service_unavailable", "fatal_error", "request_timeout", "backend_error", "unavailable", "timeout",
              "api_error", "service_timeout", "gateway_timeout"}  # fmt: skip
_DEAD_TOKEN = {INVALID_GRANT, "bad_refresh_token", "invalid_refresh_token", "refresh_token_expired", "expired_token",
               "token_revoked", "token_expired", "bad_verification_code", "bad_auth_code", "invalid_code",
               "interaction_required", "consent_required", "login_required", "account_inactive",
               "invalid_token", "access_revoked", "refresh_token_revoked", "authorization_not_found",
               "team_access_not_granted"}  # fmt: skip
"""What providers say of a refresh token (or code) that nothing but a new sign-in replaces."""
_CLIENT = {"bad_client_secret": "invalid_client", "invalid_client_id": "invalid_client",
           "incorrect_client_credentials": "invalid_client", "bad_client_id": "invalid_client"}  # fmt: skip
_DEAD_WORDS = re.compile(
    r"refresh[ _-]?token\W+(?:\w+\W+){0,6}?(?:invalid|expired|revoked|incorrect|malformed)"
    r"|(?:invalid|expired|revoked|incorrect|malformed)\W+(?:\w+\W+){0,3}?refresh[ _-]?token"
    r"|requires an active refresh[ _-]?token",
    re.IGNORECASE,
)
_KNOWN_WORD = re.compile(r"\b(invalid_grant|invalid_client|unauthorized_client)\b")
_TRANSIENT_AADSTS = {50196, 90006, 90012, 90016, 90033, 90055}
"""Microsoft's numbers of passing trouble (loops, throttling, "try again"), whatever `error` stands beside them."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What was answered, read."""

    status: int
    code: str = ""
    """The provider's word, as written."""
    text: str = ""
    """What it says for people."""
    numbers: tuple[int, ...] = ()
    """Microsoft's error numbers."""
    json: bool = True
    retry_after_s: float | None = None


def failure_of(
    status: int, headers: Mapping[str, str], body: Json, text: str, *, secrets: Iterable[str] = (), now: datetime
) -> Failure:
    """What this answer means. `body`: the parsed JSON or form, None where it was neither; `text`: as it came.

    `secrets` are taken out of the message.
    """
    refusal = _read(status, body, text)
    refusal = replace(refusal, retry_after_s=retry_after_s(headers, now))
    kind, code = _judged(refusal)
    return Failure(kind=kind, code=code, message=_sentence(refusal, code, secrets), retry_after_s=refusal.retry_after_s)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """`Retry-After` in seconds (RFC 9110 §10.2.3: a number or a date), or None."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        wait = float(value)
    except ValueError:
        try:
            then = parsedate_to_datetime(value)
        except ValueError:
            return None
        wait = ((then if then.tzinfo else then.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(wait, 0.0), LONGEST_WAIT_S) if wait == wait else None  # noqa: PLR0124  # NaN


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """The text with a mask for each secret, and in one line."""
    for secret in sorted((each for each in secrets if each), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _judged(refusal: Refusal) -> tuple[FailureKind, str]:
    word = refusal.code.lower().replace("-", "_").replace(" ", "_")
    if refusal.status == _TOO_MANY or word in _RATE_LIMITS:
        return FailureKind.RATE_LIMIT, word or "rate_limited"
    if refusal.status >= _SERVER or refusal.status in _LATER or word in _TRANSIENT:
        return FailureKind.TRANSIENT, word or f"http_{refusal.status}"
    if _TRANSIENT_AADSTS & set(refusal.numbers):
        return FailureKind.TRANSIENT, word
    if word in _DEAD_TOKEN or _DEAD_WORDS.search(refusal.text):
        return FailureKind.PERMANENT, INVALID_GRANT
    if word in _CLIENT:
        return FailureKind.PERMANENT, _CLIENT[word]
    if not refusal.json:
        said = _KNOWN_WORD.search(refusal.text)
        if said and refusal.status in _REFUSES:
            return FailureKind.PERMANENT, said[1]
        return FailureKind.TRANSIENT, f"http_{refusal.status}"
    if word:
        return FailureKind.PERMANENT, word
    if refusal.status in _REFUSES and refusal.text:
        return FailureKind.PERMANENT, f"http_{refusal.status}"
    return FailureKind.TRANSIENT, f"http_{refusal.status}"


def _read(status: int, body: Json, text: str) -> Refusal:
    if not isinstance(body, dict):
        return Refusal(status=status, text=text[:2000], json=False)
    inner = _first(body.get("errors")) or {}
    error = body.get("error")
    if isinstance(error, dict):  # Google's APIs, Facebook's
        inner, error = error, error.get("status") or error.get("code")
    code = _word(error, body.get("code"), inner.get("code"), body.get("status"), body.get("type"), inner.get("type"))
    said = _word(
        body.get("error_description"), body.get("message"), inner.get("message"), inner.get("detail"),
        body.get("error_summary"), body.get("detail"), body.get("subCategory"),
    )  # fmt: skip
    numbers = body.get("error_codes")
    return Refusal(
        status=status,
        code=code,
        text=said,
        numbers=tuple(each for each in numbers if isinstance(each, int)) if isinstance(numbers, list) else (),
    )


def _first(value: Json) -> dict[str, Json] | None:
    return value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else None


def _word(*values: Json) -> str:
    """The first text that is not empty and no mere number or status word."""
    for value in values:
        if isinstance(value, str) and value.strip() and not value.isdigit() and value != "error":
            return value.strip()
    return ""


def _sentence(refusal: Refusal, code: str, secrets: Iterable[str]) -> str:
    said = refusal.text if refusal.json else ""
    word = refusal.code if refusal.code and refusal.code.lower() != code else ""
    parts = [f"the provider answered {code} ({refusal.status})", word, said]
    text = without_secrets(": ".join(part for part in parts if part), secrets)
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"
