"""The types of single values in the YAML: durations, sizes, schedules, zones, ids, commands.

Each says how it is checked, how editors see it (JSON Schema) and what people call it (`label`). A failed check is a
`PydanticCustomError` whose message goes behind the value as written: `"15 minuts" is not a duration; try 15m`.
"""

from __future__ import annotations

import re
import shlex
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from agent.config.cron import cron_fault
from agent.config.units import NotThisUnit, format_size, parse_duration, parse_size
from agent.model import Json

VALUE_FAULT = "value_fault"
"""Type of errors whose message continues the value as written."""

_INTERPOLATED = r"\$\{"
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FIRST_YEAR, _LAST_YEAR = 2000, 2200
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def fault(message: str) -> PydanticCustomError:
    """An error that continues the value as written."""
    return PydanticCustomError(VALUE_FAULT, "{message}", {"message": message})


class Checked(ABC):
    """Metadata for `Annotated`: a check, a JSON Schema and a label."""

    label: ClassVar[str] = "text"
    """What people call it."""

    def __str__(self) -> str:
        return self.label

    @abstractmethod
    def _parse(self, value: Any) -> Any:
        """The value for the model. Raises `fault(...)`."""

    def _json_schema(self) -> dict[str, Json]:
        """What editors check."""
        return {"type": "string"}

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._parse)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Json]:
        return self._json_schema()


def text_of(value: Any) -> str:
    """`value` if it is a text, else a fault naming what it is."""
    if isinstance(value, str):
        return value
    what = {dict: "a mapping", list: "a list", type(None): "nothing"}.get(type(value), "no text")
    raise PydanticCustomError("shape", "expects text, not {what}", {"what": what})


@dataclass(frozen=True)
class Duration(Checked):
    """Seconds as float, from `1h30m`."""

    least: str = "0s"
    most: str = "366d"

    def __str__(self) -> str:
        return f"duration, {self.least} to {self.most}"

    def _parse(self, value: Any) -> float:
        text = text_of(value)
        try:
            seconds = parse_duration(text)
        except NotThisUnit as err:
            raise fault(f"is not a duration; try {err.attempt or '45s, 15m or 1h30m'}") from err
        if not parse_duration(self.least) <= seconds <= parse_duration(self.most):
            raise fault(f"is out of range; write {self.least} to {self.most}")
        return seconds

    def _json_schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": rf"^([0-9.]+(w|d|h|ms|m|s))+$|{_INTERPOLATED}"}


@dataclass(frozen=True)
class Size(Checked):
    """Bytes as int, from `64KiB`."""

    least: int
    most: int

    def __str__(self) -> str:
        return f"size, {format_size(self.least)} to {format_size(self.most)}"

    def _parse(self, value: Any) -> int:
        text = text_of(value)
        try:
            size = parse_size(text)
        except NotThisUnit as err:
            raise fault(f"is not a size; try {err.attempt or '64KiB'}") from err
        if not self.least <= size <= self.most:
            raise fault(f"is out of range; write {format_size(self.least)} to {format_size(self.most)}")
        return size

    def _json_schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": rf"^[0-9.]+ ?([KMG]i?)?B$|{_INTERPOLATED}"}


class Cron(Checked):
    """A cron expression as written, aliases in lower case."""

    label: ClassVar[str] = "cron expression of 5 or 6 fields, or an alias"

    def _parse(self, value: Any) -> str:
        text = text_of(value).strip()
        complaint = cron_fault(text)
        if complaint:
            raise fault(complaint)
        return text.lower() if text.startswith("@") else " ".join(text.split())


class Instant(Checked):
    """A datetime, naive when no offset is written: then it is local time of the job's zone."""

    label: ClassVar[str] = "date and time, in the job's zone unless an offset is written"

    def _parse(self, value: Any) -> datetime:
        text = text_of(value).strip()
        try:
            at = datetime.fromisoformat(text)
        except ValueError as err:
            raise fault("is not a date and time; try 2026-12-24T18:00") from err
        if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
            raise fault(f"is not a year between {_FIRST_YEAR} and {_LAST_YEAR}")
        if ":" not in text:
            raise fault(f"has no time of day; try {at.date()}T18:00")
        return at

    def _json_schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ][0-9]{{2}}:|{_INTERPOLATED}"}


class Zone(Checked):
    """The name of an IANA zone."""

    label: ClassVar[str] = "IANA time zone"

    def _parse(self, value: Any) -> str:
        text = text_of(value)
        try:
            ZoneInfo(text)
        except (ValueError, OSError, KeyError) as err:
            close = get_close_matches(text, available_timezones(), n=1, cutoff=0.6)
            raise fault(f"is not a time zone; {_did_you_mean(close) or 'try Europe/Berlin or UTC'}") from err
        return text


@dataclass(frozen=True)
class Word(Checked):
    """One of a few words."""

    choices: tuple[str, ...]

    def __str__(self) -> str:
        return "one of " + ", ".join(f"`{choice}`" for choice in self.choices)

    def _parse(self, value: Any) -> str:
        text = text_of(value)
        if text not in self.choices:
            close = _did_you_mean(get_close_matches(text.lower(), self.choices, n=1, cutoff=0.5))
            raise fault(f"is none of {', '.join(self.choices)}" + (f"; {close}" if close else ""))
        return text

    def _json_schema(self) -> dict[str, Json]:
        return {"anyOf": [{"enum": list(self.choices)}, {"type": "string", "pattern": _INTERPOLATED}]}


@dataclass(frozen=True)
class Line(Checked):
    """One line of text without control characters, for people and terminals alike."""

    longest: int = 200
    label: ClassVar[str] = "text"

    def _parse(self, value: Any) -> str:
        text = text_of(value)
        if not text.strip():
            raise fault("is empty; write something or drop the key")
        if len(text) > self.longest:
            raise fault(f"is longer than {self.longest} characters")
        if _CONTROL.search(text):
            raise fault("contains a line break or another control character; write it in one line")
        return text.strip()


@dataclass(frozen=True)
class Prose(Checked):
    """Text of several lines."""

    longest: int = 8192
    label: ClassVar[str] = "text"

    def _parse(self, value: Any) -> str:
        text = text_of(value)
        if len(text) > self.longest:
            raise fault(f"is longer than {self.longest} characters")
        return text


class Script(Checked):
    """A script for `/bin/sh -c`."""

    label: ClassVar[str] = "shell script"

    def _parse(self, value: Any) -> str:
        text = text_of(value)
        if not text.strip():
            raise fault("is empty; write the command")
        return text


class Secret(Checked):
    """Any text, as it is."""

    def _parse(self, value: Any) -> str:
        text = text_of(value)
        if not text:
            raise fault("is empty")
        return text


class Id(Checked):
    """The id of a job or agent: it becomes a key in the database, a file name and an argument."""

    label: ClassVar[str] = "id"

    def _parse(self, value: Any) -> str:
        text = text_of(value)
        if not _JOB_ID.fullmatch(text):
            raise fault("is not an id; use up to 100 letters, digits, dots, dashes and underscores")
        return text

    def _json_schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": rf"^{_JOB_ID.pattern}$|{_INTERPOLATED}"}


class Folder(Checked):
    """An absolute path, or one below the home directory (`~/…`)."""

    label: ClassVar[str] = "folder, absolute or `~/…`"

    def _parse(self, value: Any) -> str:
        text = text_of(value)
        if not text.startswith("/") and text != "~" and not text.startswith("~/"):
            raise fault("is a relative path; write it from `/` or `~/`")
        return text


class Argv(Checked):
    """A program and its arguments."""

    label: ClassVar[str] = "list of texts"

    def _parse(self, value: Any) -> list[str]:
        if isinstance(value, str):
            raise fault(f"expects a list; write [{', '.join(_words(value))}], or use `shell:`")
        if not isinstance(value, list):
            raise PydanticCustomError("shape", "expects a list such as [restic, backup, /data]")
        if not value or not value[0]:
            raise PydanticCustomError("shape", "expects a program first, then its arguments: [program, argument, …]")
        for item in value:
            if not isinstance(item, str):
                raise PydanticCustomError("shape", "expects texts only; quote every argument that is not plain text")
        return list(value)

    def _json_schema(self) -> dict[str, Json]:
        return {"type": "array", "items": {"type": ["string", "number", "boolean"]}, "minItems": 1}


class Texts(Checked):
    """One text or a list of them."""

    label: ClassVar[str] = "text or list of texts"

    def _parse(self, value: Any) -> list[str]:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) and item for item in items):
            raise PydanticCustomError("shape", "expects a text or a list of texts")
        return items

    def _json_schema(self) -> dict[str, Json]:
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


class VariableName(Checked):
    """The name of an environment variable."""

    def _parse(self, value: Any) -> str:
        text = text_of(value)
        if not _VARIABLE.fullmatch(text):
            raise fault("is not the name of a variable; use letters, digits and underscores")
        if text.startswith("CRONMIRROR_"):
            raise fault("is reserved: the agent itself sets variables that begin with CRONMIRROR_")
        return text


class VariableValue(Checked):
    """The value of an environment variable: numbers and booleans are taken as written."""

    def _parse(self, value: Any) -> str:
        if value is None:
            raise PydanticCustomError("shape", 'has no value; write "" for an empty one')
        return text_of(value)

    def _json_schema(self) -> dict[str, Json]:
        return {"type": ["string", "number", "boolean"]}


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text) or ["program"]
    except ValueError:
        return ["program", "argument"]


def _did_you_mean(close: list[str]) -> str | None:
    return f"did you mean {close[0]}?" if close else None
