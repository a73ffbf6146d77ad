"""A server, or a proxy in between, that answers with malice: nothing it says may end the agent or be taken for granted.

The edge turns every answer into a value or one of our errors; a loop that meets any other exception ends the agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from agent.adapters.supabase import transport
from agent.adapters.supabase.line import Line, LineBroken
from agent.adapters.supabase.rest import Rest
from agent.adapters.supabase.rpc import Database
from agent.adapters.supabase.session import Session
from agent.adapters.supabase.target import Target
from agent.adapters.supabase.transport import open_http
from agent.errors import CronmirrorError, SchemaMissing, Unreachable
from agent.model import AgentState, Hello, MirrorSync, OutboxEntry, Report, RunStatus, Trigger
from tests.support.agent_process import AgentProcess
from tests.support.misbehaving_supabase import ANON, EMAIL, PASSWORD, Answer, MisbehavingSupabase, WallClock
from tests.support.waiting import wait_until

NOW = "2026-11-21T12:00:00+00:00"
RUN = uuid4()


@contextlib.asynccontextmanager
async def answering(raw: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers every request with these bytes; its port, and what it was sent."""
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(raw)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()


@contextlib.asynccontextmanager
async def edge(url: str) -> AsyncIterator[tuple[Session, Rest]]:
    """The agent's edge, signed in by a key alone where `url` is not a whole Supabase."""
    async with open_http() as http:
        target = Target(url=url, key=ANON, email=EMAIL, password=PASSWORD)
        session = Session(target, http=http, clock=WallClock(), load=lambda: None, save=lambda _: None)
        yield session, Rest(Database(target, session, http), project="p", agent_id="mac")
        await session.aclose()


def http_answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "content-type: application/json", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


SESSION = {"access_token": "a", "refresh_token": "r", "user": {"email": EMAIL}}
EVIL_ANSWERS = {
    "ten thousand brackets": http_answer(b"[" * 10_000 + b"]" * 10_000),
    "ten thousand braces": http_answer(b'{"access_token":' * 10_000),
    "a number of 5,000 digits": http_answer(b'{"epoch": ' + b"9" * 5000 + b"}"),
    "a lifetime beyond the calendar": http_answer(json.dumps({**SESSION, "expires_in": 1e308}).encode()),
    "a lifetime of 400 digits": http_answer(json.dumps({**SESSION, "expires_in": 10**400}).encode()),
    "an endless lifetime": http_answer(json.dumps({**SESSION, "expires_in": float("inf")}).encode()),
    "no number": http_answer(json.dumps({**SESSION, "expires_in": float("nan")}).encode()),
    "broken text": http_answer(b'{"access_token": "\xff\xfe"}'),
    "a broken gzip": http_answer(b"abc", "content-encoding: gzip"),
    "a gzip bomb": http_answer(gzip.compress(b" " * 10_000_000), "content-encoding: gzip"),
    "a wish in superscript": http_answer(b"{}", "retry-after: \xb2", status="429 Slow"),
    "a wish for ages": http_answer(b"{}", "retry-after: " + "9" * 400, status="503 Later"),
    "two wishes": http_answer(b"{}", "retry-after: 1", "retry-after: 2", status="429 Slow"),
    "a refusal of ten thousand brackets": http_answer(b"[" * 10_000, status="400 Bad"),
    "a redirect": http_answer(b"", "location: http://[::bad", status="307 There"),
    "no HTTP": b"\x00\x01\x02\r\n\r\n",
    "no length": b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
    "a broken chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("raw", EVIL_ANSWERS.values(), ids=EVIL_ANSWERS.keys())
async def test_no_answer_to_a_sign_in_or_a_call_is_more_than_trouble(raw: bytes) -> None:
    async with answering(raw) as (port, _), edge(f"http://127.0.0.1:{port}") as (session, _):
        with contextlib.suppress(CronmirrorError):
            await session.sign_in(EMAIL, PASSWORD)
    async with answering(raw) as (port, _), open_http() as http:
        target = Target(url=f"http://127.0.0.1:{port}", key="sb_secret_x")
        session = Session(target, http=http, clock=WallClock(), load=lambda: None, save=lambda _: None)
        with pytest.raises(CronmirrorError) as caught:
            await Rest(Database(target, session, http), project="p", agent_id="mac").claim(1, ["a"], 1, 60)
        wish = getattr(caught.value, "retry_after_s", None)
        assert wish is None or wish <= 300


EVIL_GREETINGS = {
    "a redirect to another host": b"HTTP/1.1 302 Found\r\nlocation: ws://127.0.0.1:%d/x\r\n\r\n",
    "a redirect to nowhere": b"HTTP/1.1 302 Found\r\nlocation: http://[::bad\r\n\r\n",
    "two redirects": b"HTTP/1.1 302 Found\r\nlocation: /a\r\nlocation: /b\r\n\r\n",
    "two wishes": b"HTTP/1.1 429 Slow\r\nretry-after: 1\r\nretry-after: 2\r\n\r\n",
    "a half handshake": b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    "no HTTP": b"\x00\x01\x02",
}


@pytest.mark.parametrize("raw", EVIL_GREETINGS.values(), ids=EVIL_GREETINGS.keys())
async def test_no_greeting_of_a_realtime_server_is_more_than_a_broken_line_and_none_leads_elsewhere(raw: bytes) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n") as (elsewhere, heard):
        greeting = raw % elsewhere if b"%d" in raw else raw
        async with answering(greeting) as (port, _):
            line = Line(f"ws://127.0.0.1:{port}/realtime/v1", ANON, "t", [], lambda: None)
            with pytest.raises(LineBroken):
                await line.open("the access token")
            await line.close()
    assert heard == []


async def test_a_redirected_call_hands_neither_key_nor_token_to_the_other_host() -> None:
    async with answering(http_answer(b"{}")) as (elsewhere, heard):
        redirect = http_answer(b"", f"location: http://127.0.0.1:{elsewhere}/rest", status="307 There")
        async with answering(redirect) as (port, _), edge(f"http://127.0.0.1:{port}") as (session, _):
            with pytest.raises(Unreachable, match="redirects to"):
                await session.sign_in(EMAIL, PASSWORD)
    assert heard == []


async def test_a_flood_ends_at_its_limit_and_not_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER", 64 * 1024)
    flood = http_answer(b'{"access_token": "' + b"x" * 1_000_000 + b'"}')
    async with answering(flood) as (port, heard), edge(f"http://127.0.0.1:{port}") as (session, _):
        with pytest.raises(Unreachable, match="longer than"):
            await session.sign_in(EMAIL, PASSWORD)
    assert b"accept-encoding: identity" in heard[0].lower()
    bomb = http_answer(gzip.compress(b"[" + b"0," * 5_000_000 + b"0]"), "content-encoding: gzip")
    async with answering(bomb) as (port, _), edge(f"http://127.0.0.1:{port}") as (session, _):
        with pytest.raises(Unreachable, match="compressed although"):
            await session.sign_in(EMAIL, PASSWORD)


# ── answers of the right form and the wrong content ──────────────────────────

RIGHT: dict[str, dict[str, Any]] = {
    "cron_agent_hello": {
        "status": "accepted",
        "epoch": 1,
        "role": "agent",
        "schema_version": 1,
        "claim_seq": 0,
        "requeued": [],
        "lost": [],
        "server_time": NOW,
    },
    "cron_agent_beat": {
        "cancelled": [str(RUN)],
        "lost": [],
        "due": 0,
        "next_due_at": NOW,
        "server_time": NOW,
        "paused": {"mode": "all", "until": NOW},
    },
    "cron_claim_requests": {
        "due": 0,
        "next_due_at": None,
        "seq": 1,
        "server_time": NOW,
        "rows": [
            {
                "id": str(RUN),
                "job_id": "a",
                "payload": None,
                "requested_by": None,
                "requested_at": NOW,
                "run_at": NOW,
                "attempts": 1,
                "max_attempts": 1,
                "claims": 1,
            }
        ],
    },
    "cron_report": {"results": [{"run_id": str(RUN), "outcome": "accepted", "why": None}], "server_time": NOW},
    "cron_sync_mirror": {
        "upserted": 1,
        "removed": 0,
        "touched": 0,
        "ignored": False,
        "server_time": NOW,
        "refused": [{"job_id": "a", "agent_id": "b"}],
    },
}
EVIL_VALUES: list[Any] = [
    *(None, True, -1, 2**70, 1.5, float("nan"), "", "x", "NaN", "\x1b[2J", "0001-01-01T00:00:00+14:00"),
    *([], [None], [[]], {}, {"mode": None}, "9" * 400),
]


def spoiled(value: Any) -> list[Any]:
    """Copies of a JSON value, each with one place replaced by each evil value."""
    copies = list(EVIL_VALUES)
    if isinstance(value, dict):
        copies += [{**value, key: evil} for key, each in value.items() for evil in spoiled(each)]
    if isinstance(value, list):
        copies += [[*value[:at], evil, *value[at + 1 :]] for at, each in enumerate(value) for evil in spoiled(each)]
    return copies


async def call(rest: Rest, name: str) -> object:
    start = Report(run_id=RUN, job_id="a", trigger=Trigger.REQUEST, status=RunStatus.RUNNING, attempt=1)
    match name:
        case "cron_agent_hello":
            return await rest.hello(Hello(instance=RUN, info={}))
        case "cron_agent_beat":
            return await rest.beat([], AgentState(), ["a"])
        case "cron_claim_requests":
            return await rest.claim(1, ["a"], 1, 60)
        case "cron_report":
            return await rest.report([OutboxEntry(seq=1, report=start)])
        case _:
            return await rest.sync(MirrorSync(rev=1))


@pytest.mark.parametrize("name", RIGHT)
async def test_an_answer_with_any_wrong_value_in_any_place_is_read_or_refused(name: str) -> None:
    async with MisbehavingSupabase().serving() as fake, edge(fake.url) as (_, rest):
        answers = iter([RIGHT[name], *spoiled(RIGHT[name])])
        fake.rpcs[name] = lambda _: next(answers)
        await call(rest, name)
        refused = 0
        for _ in spoiled(RIGHT[name]):
            try:
                await call(rest, name)
            except CronmirrorError:
                refused += 1
        assert refused > 20


async def test_numbers_that_no_database_holds_are_not_taken_in() -> None:
    """Beyond 64 bits they would fail in the journal: in the loops, not at the edge."""
    async with MisbehavingSupabase().serving() as fake, edge(fake.url) as (_, rest):
        right = RIGHT["cron_claim_requests"]
        for name in ("claims", "attempts", "max_attempts"):
            fake.rpcs["cron_claim_requests"] = lambda _, name=name: {
                **right,
                "rows": [{**right["rows"][0], name: 2**63}],
            }
            with pytest.raises(SchemaMissing, match="64 bits"):
                await call(rest, "cron_claim_requests")


# ── a whole agent ────────────────────────────────────────────────────────────

CONFIG = """\
project: p
agent: {{id: mac}}
supabase: {{url: "{url}", key: {key}, email: {email}, password: "${{PASSWORD}}"}}
sync: {{poll_every: 1s}}
jobs:
  tick: {{every: 1s, shell: 'echo tick >> {folder}/ticks'}}
  declared: {{shell: 'echo "$CRONMIRROR_JOB_ID" >> {folder}/ran'}}
  off: {{shell: 'echo off >> {folder}/ran', enabled: false}}
  sized: {{shell: 'echo sized >> {folder}/ran', payload: {{type: object, additionalProperties: false}}}}
"""


def claimed(job_id: str, payload: Any = None, **more: Any) -> dict[str, Any]:
    row = RIGHT["cron_claim_requests"]["rows"][0]
    return {**row, "id": str(uuid4()), "job_id": job_id, "payload": payload, **more}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.xdist_group("e2e")
async def test_an_agent_in_the_hands_of_a_hostile_server_keeps_its_schedule_and_runs_nothing_undeclared(
    tmp_path: Path,
) -> None:
    ran, ticks = tmp_path / "ran", tmp_path / "ticks"
    hostile = [
        *(claimed(job_id) for job_id in ("evil", "../../bin/sh", "Declared", "declared; id", "declared\n", "off", "")),
        *(claimed("declared", payload) for payload in ("; touch /tmp/x", ["x"], {"shell": "id"}, {"env": {"X": "1"}})),
        *(claimed("sized", payload) for payload in ({"a": 1}, "x", [[[]]], 10**400)),
        claimed("declared", attempts=2**62, max_attempts=2**62, claims=2**62),
    ]
    async with MisbehavingSupabase().serving() as fake:
        said: dict[str, list[Any]] = {
            "cron_agent_hello": [{**RIGHT["cron_agent_hello"], "claim_seq": 2**40}],
            "cron_agent_beat": [{**RIGHT["cron_agent_beat"], "paused": None, "cancelled": [], "next_due_at": None}],
            "cron_claim_requests": [{**RIGHT["cron_claim_requests"], "rows": hostile}],
            "cron_sync_mirror": [{**RIGHT["cron_sync_mirror"], "refused": []}],
        }
        evil_beat = {**said["cron_agent_beat"][0], "server_time": "0001-01-01T00:00:00+14:00"}
        said["cron_agent_beat"][:0] = [evil_beat, {**evil_beat, "next_due_at": "9999-12-31T23:59:59-14:00"}]
        said["cron_agent_hello"][:0] = [{**RIGHT["cron_agent_hello"], "epoch": 2**70}]

        def answer(name: str) -> Any:
            left = said[name]
            return {"server_time": datetime.now(UTC).isoformat(), **(left.pop(0) if len(left) > 1 else left[0])}

        reports: list[dict[str, Any]] = []

        def report(args: dict[str, Any]) -> dict[str, Any]:
            reports.extend(args["p_reports"])
            results = [{"run_id": each["run_id"], "outcome": "accepted", "why": None} for each in args["p_reports"]]
            return {"results": results, "server_time": NOW}

        fake.rpcs = {name: lambda _, name=name: answer(name) for name in said} | {"cron_report": report}
        fake.answers.append(("cron_agent_hello", Answer(html="[" * 10_000)))
        text = CONFIG.format(url=fake.url, key=ANON, email=EMAIL, folder=tmp_path)
        agent = AgentProcess(tmp_path / "agent", text, {"PASSWORD": PASSWORD}).start()
        try:
            ended = await wait_until(lambda: finals(reports, hostile), 20)
            before = len(ticks.read_text().splitlines())
            await wait_until(lambda: len(ticks.read_text().splitlines()) > before, 5)
            assert agent.process is not None
            assert agent.process.poll() is None, agent.log.read_text()[-4000:]
        finally:
            code = await asyncio.to_thread(agent.stop)
    assert code == 0
    assert [ended[row["id"]] for row in hostile[:-1]] == [("skipped", "rejected")] * (len(hostile) - 1)
    assert ran.read_text() == "declared\n"


def finals(reports: list[dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, tuple[str, str]] | None:
    """How each claimed request ended, once all of them have."""
    found = {each["request_id"]: (each["status"], each["reason"]) for each in reports if each["status"] != "running"}
    return found if {row["id"] for row in rows} <= found.keys() else None
