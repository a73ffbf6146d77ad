"""Logs: for people on a terminal, one JSON object per line for machines; secrets are redacted in both."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, Literal

import structlog

LogFormat = Literal["auto", "console", "json"]

NOISY_LIBRARIES = ("httpx", "httpcore", "hpack", "realtime", "websockets", "watchfiles", "asyncio", "urllib3")
"""They log every request or frame at INFO; their warnings still come through."""


def configure(*, level: str, style: LogFormat, redact: Callable[[str], str] = str) -> None:
    """Send structlog's and the standard library's records to stderr. `level`: debug, info, warning, error."""
    as_json = style == "json" or (style == "auto" and not sys.stderr.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=as_json),
        structlog.processors.StackInfoRenderer(),
    ]
    tail: list[structlog.types.Processor] = (
        [structlog.processors.format_exc_info, _redactor(redact), structlog.processors.JSONRenderer(default=str)]
        if as_json
        else [structlog.processors.format_exc_info, _redactor(redact), structlog.dev.ConsoleRenderer()]
    )
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", force=True
    )
    for name in NOISY_LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR if level != "debug" else logging.WARNING)


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
