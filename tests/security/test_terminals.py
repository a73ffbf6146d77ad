"""Words of others on their way to a terminal, a log or a traceback: output of jobs, names, reasons, answers."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import structlog

from agent.adapters.supabase.grants import Tokens
from agent.app.logs import configure
from agent.cli.output import plain
from agent.cli.runs import _headline
from agent.config.config import Config, SupabaseSettings
from agent.config.payload import payload_fault
from agent.localstack.keys import Keys
from agent.model import Command, Job, LocalRun, RunStatus, Trigger
from agent.run.output import Capture
from agent.run.redact import Redactor

EVIL = "x\x1b[2J\x1b]0;owned\x07\u202e\x9b31m\nERROR forged\r\x00"
ACTIVE = ("\x1b", "\x07", "\x9b", "\u202e", "\r", "\0")


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]):
    """`log(style)` configures the real thing and returns a reader of what was written; all is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def begin(style: str) -> Callable[[], str]:
        configure(level="info", style=style, redact=Redactor(["the-token"]))
        return lambda: capsys.readouterr().err

    yield begin
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.parametrize("text", [EVIL, EVIL.replace("\n", ""), "\x1b[2J"])
def test_no_value_in_a_log_on_a_terminal_moves_the_cursor_or_begins_a_line(log, text: str) -> None:
    written = log("console")
    structlog.get_logger().warning("claim failed", error=text, job=text, hint=f"{text}the-token")
    shown = re.sub(r"\x1b\[\d+m", "", written())  # the renderer's own colours
    assert shown.count("\n") == 1
    assert not any(char in shown for char in ACTIVE)
    assert "[2J" in shown
    assert "the-token" not in shown


@pytest.mark.parametrize("style", ["console", "json"])
def test_what_libraries_log_is_redacted_too_and_cannot_pass_for_a_line_of_ours(log, style: str) -> None:
    written = log(style)
    logging.getLogger("some.library").error("got %s", f'{EVIL}\n{{"event": "run ended"}} the-token')
    shown = written()
    assert not any(char in shown for char in ACTIVE)
    assert "the-token" not in shown
    first, *more = shown.rstrip("\n").split("\n")
    assert first.startswith("ERROR some.library: ")
    assert more
    assert all(line.startswith("  ") for line in more)


def test_a_log_for_machines_has_one_line_an_event_whatever_is_said(log) -> None:
    written = log("json")
    structlog.get_logger().warning("claim failed", error=EVIL, nested={"a": [EVIL, "the-token"]})
    (line,) = written().splitlines()
    assert json.loads(line)["error"] == EVIL
    assert "the-token" not in line


def test_the_command_line_shows_words_of_others_as_plain_text() -> None:
    run = LocalRun(
        run_id=uuid4(),
        job_id="a",
        trigger=Trigger.REQUEST,
        status=RunStatus.ERROR,
        attempt=1,
        scheduled_for=None,
        started_at=datetime.now(UTC),
        finished_at=None,
        duration_ms=1,
        exit_code=None,
        reason=None,
        error=f"[red]{EVIL}",
        output=EVIL,
    )
    for shown in (plain(EVIL), _headline(run)):
        assert not any(char in shown for char in ACTIVE)


@pytest.mark.parametrize(
    "payload", [{EVIL: "x"}, {"a": EVIL}, {"a": {EVIL: {EVIL: []}}}, [EVIL], {EVIL * 1000: EVIL * 1000}]
)
def test_the_sentence_about_a_payload_is_one_short_visible_line(payload) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "object"}}, "additionalProperties": {"type": "integer"}}
    said = payload_fault({"anyOf": [schema, {"type": "integer"}]}, payload) or payload_fault(schema, payload)
    if said is None:
        said = payload_fault({"additionalProperties": {"type": "integer"}}, payload)
    assert said is not None
    assert len(said) < 500
    assert said.isprintable()


def test_output_of_a_job_is_kept_as_text_that_postgres_takes_whatever_it_was() -> None:
    capture = Capture(4096, Redactor(["hunter22", "multi\nline-secret"]))
    for chunk in (b"\0\xff\xfe\x1b[2J", b"hun", b"ter22 ", b"x" * 1_000_000, b"\xf0\x9f", b" hunter22"):
        capture.feed("stdout", chunk)
    for text in (capture.output("stdout").text, capture.tail()):
        assert "\0" not in text
        assert "hunter22" not in text
        assert "ter22" not in text
        assert len(text.encode()) < 4096 + 200
        text.encode("utf-8", "strict")


def test_no_repr_of_what_ends_in_tracebacks_shows_a_secret() -> None:
    secret = "s3cret-value"
    command = Command(argv=("curl", secret), env={"API_KEY": secret})
    keys = Keys(
        jwt_secret=secret,
        anon_key="a",
        service_key=secret,
        publishable_key="p",
        secret_key=secret,
        signing_key=secret,
    )
    shown = [
        Tokens(access=secret, refresh=secret, expires_at=datetime.now(UTC), lifetime_s=1, email="a@b.c"),
        Job(id="a", name="a", command=command),
        Config(project="p", secrets=frozenset({secret}), jobs=(Job(id="a", name="a", command=command),)),
        SupabaseSettings(url="http://x", key=secret, password=secret),
        Redactor([secret]),
        keys,
    ]
    for value in shown:
        assert secret not in repr(value), type(value)
        assert secret not in str(value), type(value)
