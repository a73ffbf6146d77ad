"""Logs whose writers never let go of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent.localstack.rotation import keep_small, rotate
from tests.support.waiting import wait_until


def test_a_log_that_grew_is_cut_under_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"a" * 60)
        assert not rotate(log, limit=60)
        writer.write(b"b")
        assert rotate(log, limit=60)
        writer.write(b"after")
    assert (tmp_path / "x.log.1").read_bytes() == b"a" * 60 + b"b"
    assert log.read_bytes() == b"after"  # no hole before it
    assert (tmp_path / "x.log.1").stat().st_mode & 0o777 == 0o600


def test_what_is_not_there_or_cannot_be_cut_is_no_failure(tmp_path: Path) -> None:
    assert not rotate(tmp_path / "none.log")
    (tmp_path / "y.log").write_bytes(b"x" * 10)
    (tmp_path / "y.log.1").mkdir()
    assert not rotate(tmp_path / "y.log", limit=1)
    assert (tmp_path / "y.log").read_bytes() == b"x" * 10


async def test_they_are_looked_after_for_ever(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    task = asyncio.create_task(keep_small([log], limit=3, every_s=0.01))
    for text in ("first", "second"):
        log.write_text(text)
        await wait_until(lambda: log.read_bytes() == b"")
        assert (tmp_path / "x.log.1").read_text() == text
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
