"""Token answers of providers → `Tokens`: RFC 6749 §5.1, and what some write otherwise."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

from agent.model import Connection, Json, Tokens

_MILLISECONDS = 100_000_000_000
"""Instants beyond are in milliseconds (in seconds they would be in the year 5138)."""
_LONGEST_S = 10 * 366 * 86_400.0

_LIFETIMES = ("expires_in", "expiresIn")
_INSTANTS = ("expires_at", "access_token_expiration")
"""Square, Clover."""
_REFRESH_LIFETIMES = ("refresh_token_expires_in", "x_refresh_token_expires_in", "refresh_expires_in")
"""GitHub and Shopify, QuickBooks, Keycloak."""
_REFRESH_INSTANTS = ("refresh_token_expires_at", "refresh_token_expiration")


def body_of(content_type: str, text: str) -> Json:
    """JSON or a form, whatever the content type claims; None where it is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if "=" in text and "<" not in text and len(text) < 1 << 16:
        found = dict(parse_qsl(text))
        if "application/x-www-form-urlencoded" in content_type or {"access_token", "error"} & set(found):
            return found
    return None


def tokens_of(
    connection: Connection, body: Mapping[str, Json], *, asked_at: datetime, old: Tokens | None = None
) -> Tokens | None:
    """The tokens in an answer, or None where there are none. What a refresh leaves out is as it was in `old`."""
    given = _given(body)
    access = given.get("access_token")
    if not isinstance(access, str) or not access:
        return None
    refresh = given.get("refresh_token")
    fresh = isinstance(refresh, str) and bool(refresh)
    scopes = _scopes(given.get("scope", given.get("scopes")))
    known = old.account if old else None
    return Tokens(
        access_token=access,
        refresh_token=str(refresh) if fresh else (old.refresh_token if old else None),
        token_type=_type(given.get("token_type")),
        obtained_at=asked_at,
        expires_at=_instant(given, _LIFETIMES, _INSTANTS, asked_at),
        refresh_expires_at=_instant(given, _REFRESH_LIFETIMES, _REFRESH_INSTANTS, asked_at)
        or (old.refresh_expires_at if old and not fresh else None),
        scopes=scopes or (old.scopes if old else connection.scopes),
        account=account_of(body, connection.account_fields) or _from_id_token(body, connection) or known,
    )


def account_of(body: Mapping[str, Json], fields: tuple[str, ...]) -> str | None:
    """What the first of the dotted paths leads to that leads anywhere."""
    for path in fields:
        value: Json = body
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()[:200]
    return None


def _given(body: Mapping[str, Json]) -> Mapping[str, Json]:
    """Slack puts a person's token one level down when the app asks for no bot's."""
    inner = body.get("authed_user")
    return inner if "access_token" not in body and isinstance(inner, dict) else body


def _from_id_token(body: Mapping[str, Json], connection: Connection) -> str | None:
    """Claims of the ID token; it came over TLS from the token endpoint itself (OpenID Connect Core §3.1.3.7, 6)."""
    token = body.get("id_token")
    if not isinstance(token, str) or token.count(".") != 2:  # noqa: PLR2004  # a JWT has three parts
        return None
    part = token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return account_of(claims, (*connection.account_fields, "email", "sub")) if isinstance(claims, dict) else None


def _type(value: Json) -> str:
    """Some write `bearer`, some name their kind of app (Slack's `bot`): all of them mean Bearer."""
    return value if isinstance(value, str) and value.lower() in ("mac", "dpop") else "Bearer"


def _scopes(value: Json) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(each) for each in value)
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else ()


def _instant(
    given: Mapping[str, Json], lifetimes: tuple[str, ...], instants: tuple[str, ...], asked_at: datetime
) -> datetime | None:
    for name in lifetimes:
        seconds = _number(given.get(name))
        if seconds is not None and seconds > 0:
            return asked_at + timedelta(seconds=min(seconds, _LONGEST_S))
    for name in instants:
        found = _read_instant(given.get(name))
        if found is not None:
            return found
    return None


def _read_instant(value: Json) -> datetime | None:
    number = _number(value)
    if number is not None:
        seconds = number / 1000 if number > _MILLISECONDS else number
        return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < _MILLISECONDS else None
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _number(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < float("inf") else None
