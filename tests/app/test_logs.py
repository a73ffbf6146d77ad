"""What is logged, for whom, and without secrets."""

from __future__ import annotations

import errno
import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from agent.app.logs import NOISY_LIBRARIES, configure

Capture = pytest.CaptureFixture[str]
SECRET = "s3cret-word"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, levels = root.handlers[:], {name: logging.getLogger(name).level for name in ("", *NOISY_LIBRARIES)}
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def _hide(text: str) -> str:
    return text.replace(SECRET, "***")


def test_json_lines_carry_level_time_and_no_secret_however_deep_it_lies(capsys: Capture) -> None:
    configure(level="info", style="json", redact=_hide)
    structlog.get_logger().info(
        "something happened", why=f"with {SECRET}", deep={"list": [SECRET, {"tuple": (SECRET, 1)}]}, number=3
    )
    said = capsys.readouterr().err
    line = json.loads(said)
    assert SECRET not in said
    assert line["deep"] == {"list": ["***", {"tuple": ["***", 1]}]}
    assert (line["event"], line["level"], line["number"]) == ("something happened", "info", 3)
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_is_redacted_too(capsys: Capture, style: str) -> None:
    configure(level="info", style=style, redact=_hide)
    try:
        int(SECRET)
    except ValueError:
        structlog.get_logger().exception("it failed")
    said = capsys.readouterr().err
    assert "ValueError: invalid literal for int() with base 10: '***'" in said
    assert SECRET not in said


def test_auto_is_json_where_nobody_looks(capsys: Capture) -> None:
    configure(level="warning", style="auto")
    structlog.get_logger().info("not said")
    structlog.get_logger().warning("said")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["said"]


def test_libraries_speak_only_when_something_is_wrong(capsys: Capture) -> None:
    configure(level="info", style="console")
    logging.getLogger("httpx").warning("a request")
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").warning("trouble")
    assert capsys.readouterr().err == "WARNING some.library: trouble\n"
    configure(level="debug", style="console")
    logging.getLogger("httpx").warning("a request")
    assert "WARNING httpx: a request" in capsys.readouterr().err


class FullDisk(io.StringIO):
    """A file on a disk that has no room left, until it has."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_log_that_cannot_be_written_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", disk := FullDisk())
    configure(level="info", style="json")
    structlog.get_logger().info("nobody will read this")
    disk.full = False
    structlog.get_logger().info("there is room again")
    assert json.loads(disk.getvalue())["event"] == "there is room again"
