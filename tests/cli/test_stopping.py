"""The end of what runs until it is told to stop: once, and whole."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from agent.cli.stopping import until_stopped
from tests.support.agent_process import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

PROGRAM = """
import asyncio, os, signal, sys
from agent.cli.stopping import until_stopped

async def work():
    try:
        os.kill(os.getpid(), int(sys.argv[1]))
        await asyncio.Event().wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)
            await asyncio.sleep(0)
            await asyncio.to_thread(int)  # a whole turn of the loop: the signal is handled
        print("all is cleaned up")

sys.exit(asyncio.run(until_stopped(work())))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_does_not_keep_it_from_cleaning_up(number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(int(number))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "all is cleaned up\n"), done.stderr


async def test_what_ends_by_itself_has_its_own_code() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await until_stopped(work()) == 7
