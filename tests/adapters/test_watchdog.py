"""A stuck loop ends the process; a process that was stopped is no stuck loop. systemd's socket is a real one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agent.adapters.sdnotify import SystemdNotify
from agent.adapters.watchdog import Watchdog
from tests.support.agent_process import ROOT
from tests.support.waiting import lapse, wait_until

STUCK = """
import asyncio, sys, threading
from agent.adapters.watchdog import Watchdog

async def main():
    dog = Watchdog(limit_s=1.0, step_s=0.05)
    dog.start()
    while True:
        dog.feed()
        print("fed", flush=True)
        if sys.stdin.readline() == "hang":
            def a_function_that_hangs():
                threading.Event().wait()
            a_function_that_hangs()

asyncio.run(main())
"""


def begin(text: str) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", text], cwd=ROOT, text=True, **pipes)


def test_a_stuck_loop_ends_the_process_with_every_stack_in_the_log() -> None:
    process = begin(STUCK)
    _, errors = process.communicate("hang", timeout=15)
    assert process.returncode == 70
    assert "a_function_that_hangs" in errors
    assert "Thread" in errors


async def test_a_process_that_was_stopped_longer_than_the_limit_goes_on() -> None:
    process = begin(STUCK)
    assert process.stdin
    assert process.stdout

    def fed() -> bool:
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.stdout.readline() == "fed\n"
        return True

    try:
        fed()
        await lapse(0.3)  # the thread looks, before and after, while nothing is fed
        process.send_signal(signal.SIGSTOP)
        await lapse(1.5)
        process.send_signal(signal.SIGCONT)
        await lapse(0.3)
        resumed = time.monotonic()
        await wait_until(lambda: fed() and time.monotonic() > resumed + 2)
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


async def test_only_steps_without_food_count_and_a_watchdog_that_was_stopped_is_silent() -> None:
    ended: list[float] = []
    dog = Watchdog(limit_s=0.1, step_s=0.02, end=ended.append)
    dog.start()
    started = time.monotonic()

    def feed() -> bool:
        dog.feed()
        return time.monotonic() > started + 0.3

    await wait_until(feed, every=0.005)
    assert ended == []
    await wait_until(lambda: ended)
    assert ended == [pytest.approx(0.1)]
    silent = Watchdog(limit_s=0.02, step_s=0.01, end=ended.append)
    silent.stop()
    silent.start()
    silent._thread.join()
    assert len(ended) == 1


def test_steps_are_counted_and_not_the_time_between_them() -> None:
    """As when the process is stopped in the midst of each of its waits."""
    ended: list[float] = []
    dog = Watchdog(limit_s=0.05, step_s=0.01, end=ended.append)
    left = [False] * 5 + [True]
    pause = threading.Event()

    class Stopped:
        def wait(self, seconds: float) -> bool:
            pause.wait(5 * seconds)
            return left.pop(0)

    dog._stopped = Stopped()  # type: ignore[assignment]
    dog._watch()
    assert ended == []
    assert left == []


@pytest.mark.parametrize("abstract", [False, True] if sys.platform == "linux" else [False])
def test_systemd_hears_what_is_said_on_its_socket(abstract: bool, tmp_path: Path) -> None:
    name = f"@cronmirror-{os.getpid()}" if abstract else str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0"))
        listener.settimeout(5)
        notify = SystemdNotify({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "90000000", "WATCHDOG_PID": str(os.getpid())})
        assert notify.watchdog_s == 90
        notify.say(READY="1", STATUS="two\nlines")
        assert listener.recv(1000) == b"READY=1\nSTATUS=two lines"
    notify.say(STOPPING="1")  # nobody listens any more: not our trouble


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "1"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/x"},
    ],
)
def test_a_watchdog_that_is_not_ours_is_not_fed(environ: dict[str, str]) -> None:
    assert SystemdNotify(environ).watchdog_s is None
