"""Database errors as PostgREST answers them: `{code, details, hint, message}` and the status of its Error.hs."""

from __future__ import annotations

import json

import psycopg

from agent.localstack.refusal import Refusal
from agent.model.value import Json

EXACT = {
    "23503": 409,
    "23505": 409,
    "25006": 405,
    "53400": 500,
    "57P01": 503,
    "P0001": 400,
    "42883": 404,
    "42P01": 404,
    "42P17": 500,
}
CLASSES = {
    "08": 503,
    "09": 500,
    "0L": 403,
    "0P": 403,
    "25": 500,
    "28": 403,
    "2D": 500,
    "38": 500,
    "39": 500,
    "3B": 500,
    "40": 500,
    "53": 503,
    "54": 500,
    "55": 500,
    "57": 500,
    "58": 500,
    "F0": 500,
    "HV": 500,
    "P0": 500,
    "XX": 500,
}


def from_database(err: psycopg.Error, *, authed: bool) -> Refusal:
    """The answer for an error that Postgres (or the way to it) raised while a request was served."""
    diag, code = err.diag, err.sqlstate
    if code is None:
        return _without_state(err)
    message = diag.message_primary or str(err)
    if code == "PGRST":
        return _raised_by_function(message, diag.message_detail)
    status = _status(code, message, authed=authed)
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}  # noqa: PLR2004 # HTTP's number
    return refusal(status, code, message, details=diag.message_detail, hint=diag.message_hint, headers=headers)


def refusal(
    status: int,
    code: str,
    message: str,
    *,
    details: str | None = None,
    hint: str | None = None,
    headers: dict[str, str] | None = None,
) -> Refusal:
    """PostgREST's error body, with its Proxy-Status header."""
    body: dict[str, Json] = {"code": code, "details": details, "hint": hint, "message": message}
    return Refusal(status, body, {"proxy-status": f"PostgREST; error={code}", **(headers or {})})


def unavailable(details: str) -> Refusal:
    """No connection to the database can be made."""
    return refusal(503, "PGRST000", "Database connection error. Retrying the connection.", details=details)


def _without_state(err: psycopg.Error) -> Refusal:
    if isinstance(err, psycopg.DataError):
        # psycopg refuses NUL bytes before Postgres would, in these words.
        return refusal(400, "22021", 'invalid byte sequence for encoding "UTF8": 0x00')
    if isinstance(err, psycopg.OperationalError | psycopg.InterfaceError):
        return refusal(503, "PGRST001", "Database client error. Retrying the connection.", details=str(err))
    return refusal(500, "PGRSTX00", "internal error of the local stack")


def _status(code: str, message: str, *, authed: bool) -> int:
    if code == "42501":
        return 403 if authed else 401
    if code == "21000":
        return 400 if message.endswith("requires a WHERE clause") else 500
    if code.startswith("PT"):
        return int(code[2:]) if code[2:].isdigit() and code[2] in "2345" else 500
    return EXACT.get(code) or CLASSES.get(code[:2]) or 400


def _raised_by_function(message: str, detail: str | None) -> Refusal:
    """`raise sqlstate 'PGRST'`: the function writes status, headers and body itself."""
    try:
        body, answer = json.loads(message), json.loads(detail or "")
        shown = {key: body.get(key) for key in ("code", "details", "hint", "message")}
        return Refusal(int(answer["status"]), shown, {str(k): str(v) for k, v in answer["headers"].items()})
    except (ValueError, TypeError, KeyError, AttributeError):
        return refusal(500, "PGRST121", "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error")
