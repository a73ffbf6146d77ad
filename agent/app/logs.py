"""Logs: for people on a terminal, one JSON object per line for machines; secrets are redacted in both.

Much of what is logged was said by others (servers, requests, host names): none of it can forge a line or move a cursor.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Callable
from typing import Any, Literal, TextIO

import structlog

LogFormat = Literal["auto", "console", "json"]

NOISY_LIBRARIES = ("httpx", "httpcore", "hpack", "realtime", "websockets", "watchfiles", "asyncio", "urllib3")
"""They log every request or frame at INFO; their warnings still come through."""

_encode = json.JSONEncoder(default=str).encode


def configure(*, level: str, style: LogFormat, redact: Callable[[str], str] = str) -> None:
    """Send structlog's and the standard library's records to stderr. `level`: debug, info, warning, error."""
    as_json = style == "json" or (style == "auto" and not sys.stderr.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _redactor(redact),
        # After the redactor, which remembers clean words: an instant is another one in every line.
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
    ]
    tail: list[structlog.types.Processor] = (
        [structlog.processors.JSONRenderer(serializer=lambda event, **_: _encode(event))]
        if as_json
        else [_only_visible, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=_Unfailing(sys.stderr)),  # type: ignore[arg-type]  # write, flush
        cache_logger_on_first_use=False,
    )
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_LibraryLines(redact))
    logging.basicConfig(level=logging.WARNING, handlers=[lines], force=True)
    for name in NOISY_LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR if level != "debug" else logging.WARNING)


class _Unfailing:
    """Drops what cannot be written: the disk of the log may be full, whoever read it may be gone.

    What the log tells about must go on all the same: such a line ended the agent's loops.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """A line, or nothing."""
        with contextlib.suppress(OSError, ValueError):
            self._file.write(text)

    def flush(self) -> None:
        """If it can be."""
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()


class _LibraryLines(logging.Formatter):
    """What libraries say: redacted, visible, and no second line that begins like one of ours."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return _visible(self._redact(super().format(record))).replace("\n", "\n  ")


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _only_visible(_logger: Any, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """The console renderer quotes what has a space or line break in it, and passes on everything else as it is."""
    return {key: _visible(value) if isinstance(value, str) else value for key, value in event.items()}


def _redactor(redact: Callable[[str], str]) -> structlog.types.Processor:
    def clean(value: Any) -> Any:
        if isinstance(value, str):
            return redact(value)
        if isinstance(value, dict):
            return {key: clean(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [clean(each) for each in value]
        return value

    def process(_logger: Any, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        return {key: clean(value) for key, value in event.items()}

    return process
