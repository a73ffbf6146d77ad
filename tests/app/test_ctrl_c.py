"""The first Ctrl-C is a wish, the second is as ever; where it is ignored it stays so."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from agent.app.ctrl_c import first_ctrl_c


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


async def test_the_first_sets_an_event_and_the_second_interrupts() -> None:
    with first_ctrl_c() as asked:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(asked.wait(), 5)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


async def test_where_it_is_ignored_it_stays_so() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with first_ctrl_c() as asked:
        os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert not asked.is_set()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
