"""The guard that no secret of a connection is left anywhere is itself tried: with leaks of every kind."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.agent_process import ROOT
from tests.support.marked_secrets import MARK, CommandLines, Kind, marked, marks
from tests.support.secrecy import LEAKED, Search, belongs
from tests.support.stack import StackThread
from tests.support.waiting import wait_until

SUITE = """
from tempfile import NamedTemporaryFile
from tests.support.marked_secrets import Kind, marked

def test_logs(tmp_path):
    (tmp_path / "agent.log").write_text("token " + marked(Kind.ACCESS))

def test_crashes():
    with NamedTemporaryFile("w", prefix="cronmirror-crash-", suffix=".log", delete=False) as file:
        file.write(marked(Kind.CLIENT))

def test_prints():
    print(marked(Kind.REFRESH))

def test_keeps(tmp_path):
    (tmp_path / "connections").mkdir()
    (tmp_path / "connections" / "demo.tokens.json").write_text(marked(Kind.ACCESS) + marked(Kind.REFRESH))
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_session_that_leaves_secrets_is_red_and_says_where(tmp_path: Path, workers: str) -> None:
    (tmp_path / "test_inner.py").write_text(SUITE)
    plugins = ("-p", "tests.support.secrecy", "-p", "no:cacheprovider")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-n", workers, "--basetemp", tmp_path / "inner", "test_inner.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(tmp_path / "inner")  # the session that runs this one looks there, too
    for place in tmp_path.glob("*.log"):
        place.unlink()

    assert done.returncode == LEAKED, done.stdout + done.stderr
    assert "4 passed" in done.stdout
    assert "agent.log, offset 9, made by test_inner.py::test_logs: b'token at-" in done.stdout
    assert re.search("cronmirror-crash-[^ ]+.log, offset 3, made by nobody knows which: b'cs-", done.stdout)
    assert "Captured stdout call of test_inner.py::test_prints" in done.stdout
    assert "tokens.json" not in done.stdout


@pytest.mark.parametrize("before", [b"", b"x", b"xx", b"Basic client:"])
def test_a_secret_is_found_in_base64_as_well(before: bytes) -> None:
    assert len(list(marks(base64.b64encode(before + marked(Kind.CLIENT).encode() + b" and more")))) == 2


def test_a_secret_that_is_cut_in_two_is_found() -> None:
    secret = marked(Kind.ACCESS).encode()
    for cut in range(len(secret)):
        found = [*marks(secret[:cut]), *marks(secret[cut:])]
        assert found, cut
    assert {each.kind for each in marks(secret)} == {Kind.ACCESS}


@pytest.mark.parametrize(
    ("kind", "place", "may"),
    [
        (Kind.ACCESS, "state/connections/demo.tokens.json", True),
        (Kind.ACCESS, "state/demo.tokens.json", False),
        (Kind.CLIENT, "state/connections/demo.tokens.json", False),
        (Kind.CLIENT, "agent.env", True),
        (Kind.REFRESH, "agent.env", False),
        (Kind.CLIENT, "state/last-good.yaml", False),
        (Kind.CODE, "cluster/pg_wal/000000010000000000000001", True),
        (Kind.CODE, "cluster/postgres.log", False),
        (Kind.CODE, "state/base/1", False),
        (Kind.DEVICE, "cluster/base/1/1259", False),
        (None, "agent.env", False),
    ],
)
def test_each_kind_belongs_to_its_own_files(tmp_path: Path, kind: Kind | None, place: str, may: bool) -> None:
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "PG_VERSION").touch()

    assert belongs(kind, tmp_path / place) is may


def test_a_long_row_is_found_that_postgres_compresses(stack: StackThread) -> None:
    search, half = Search(), len(MARK) // 2
    stack.sql("create unlogged table leaky (text text)")  # leaves nothing in the WAL, and no file when it is dropped
    try:
        stack.sql("insert into leaky select repeat('long ', 1000) || %s || %s", MARK[:half], MARK[half:])
        search.rows_of(stack)
    finally:
        stack.sql("drop table leaky")

    (found,) = search.found
    assert found.startswith("a row of public.leaky: ")


async def test_a_command_line_is_seen_that_is_gone_at_the_end() -> None:
    word = marked(Kind.ACCESS)
    lines = CommandLines(word)
    lines.start()
    process = await asyncio.create_subprocess_exec("cat", "-", word, stdin=asyncio.subprocess.PIPE)
    await wait_until(lambda: lines.seen)
    process.kill()
    await process.wait()

    with pytest.raises(AssertionError, match=f"on a command line: .*cat - {word}"):
        lines.stop()
