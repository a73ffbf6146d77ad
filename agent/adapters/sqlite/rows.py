"""Values to rows and back. Text that Postgres could not store (NUL, lone surrogates) becomes U+FFFD here."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from agent.model import Json, LocalRun, PlannedRun, Report, RunStatus, Trigger

Row = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_REPORT = tuple(each.name for each in fields(Report))
_COLUMNS = tuple(name for name in _REPORT if name not in ("result", "retry_in_s"))
_OUTPUT_KEYS = ("stdout_tail", "stderr_tail", "error")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def micros(instant: datetime) -> int:
    """Microseconds since 1970 UTC, exact."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def instant(value: int) -> datetime:
    """The inverse of `micros`, in UTC."""
    return _EPOCH + timedelta(microseconds=value)


def clean(value: Json) -> Json:
    """The same JSON value with NUL and lone surrogates as U+FFFD and NaN and infinities as None."""
    if isinstance(value, str):
        return value if value.isascii() and "\0" not in value else _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {clean(str(key)): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "run_id": UUID,
    "request_id": UUID,
    "trigger": Trigger,
    "status": RunStatus,
    "scheduled_for": datetime.fromisoformat,
    "started_at": datetime.fromisoformat,
    "finished_at": datetime.fromisoformat,
}


def _plain(value: Any) -> Json:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return clean(value)


def to_text(report: Report) -> str:
    """The report as JSON, absent values left out."""
    values = ((name, getattr(report, name)) for name in _REPORT)
    return _encode({name: _plain(value) for name, value in values if value is not None})


def from_text(text: str) -> Report:
    """The inverse of `to_text`."""
    values = {name: _PARSERS.get(name, _same)(value) for name, value in json.loads(text).items()}
    return Report(**values)


def _same(value: Any) -> Any:
    return value


def has_output(report: Report) -> bool:
    """Whether `without_output` would take anything away."""
    result = report.result or {}
    return bool(report.output or report.error or any(result.get(key) for key in _OUTPUT_KEYS))


def without_output(report: Report) -> Report:
    """The outcome alone: no output, no error text."""
    result = report.result and {key: None if key in _OUTPUT_KEYS else item for key, item in report.result.items()}
    return replace(report, output=None, error=None, result=result)


def run_row(report: Report, recorded_at: datetime) -> Row:
    """Parameters of `insert_run` and `finish_run`."""
    row = {name: _column(getattr(report, name)) for name in _COLUMNS}
    row["recorded_at"] = micros(recorded_at)
    return row


def planned_row(run: PlannedRun) -> Row:
    """Parameters of `plan`."""
    return {each.name: _column(getattr(run, each.name)) for each in fields(run)}


def _column(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return micros(value)
    return clean(value)


_INSTANTS = ("scheduled_for", "started_at", "finished_at", "due_at")


def _values(row: sqlite3.Row, model: type[LocalRun | PlannedRun]) -> dict[str, Any]:
    wanted = {each.name: row[each.name] for each in fields(model)}
    for name, value in wanted.items():
        if value is not None and name in _INSTANTS:
            wanted[name] = instant(value)
        elif value is not None and name in _PARSERS:
            wanted[name] = _PARSERS[name](value)
    return wanted


def local_run(row: sqlite3.Row) -> LocalRun:
    """A row of `runs`."""
    return LocalRun(**_values(row, LocalRun))


def planned_run(row: sqlite3.Row) -> PlannedRun:
    """A row of `planned`."""
    return PlannedRun(**_values(row, PlannedRun))
