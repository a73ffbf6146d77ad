"""Limits hold before the command begins, for real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from agent.adapters.process import MEMORY_CAN_BE_LIMITED, GroupProcesses
from agent.adapters.process.limits import within_limits
from agent.model import RunLimits
from agent.ports import ProcessEnd, ProcessSpec
from agent.run.cancel import CancelSwitch

TELL = (
    "import json, os, resource as r; "
    "print(json.dumps([r.getrlimit(r.RLIMIT_AS), r.getrlimit(r.RLIMIT_CPU), os.nice(0), os.getpid() == os.getsid(0)]))"
)
linux = pytest.mark.skipif(not MEMORY_CAN_BE_LIMITED, reason="macOS does not heed RLIMIT_AS")


class Heard:
    def __init__(self) -> None:
        self.text = b""

    def feed(self, stream: str, data: bytes) -> None:
        self.text += data


def spec(folder: Path, *argv: str, **limits) -> ProcessSpec:
    return ProcessSpec(
        argv=argv,
        env={"PATH": os.environ["PATH"]},
        workdir=str(folder),
        stdin=None,
        timeout_s=15,
        grace_s=1,
        limits=RunLimits(**limits),
    )


async def run(it: ProcessSpec) -> tuple[ProcessEnd, bytes]:
    heard = Heard()
    return await GroupProcesses().run(it, heard, CancelSwitch()), heard.text


def test_a_run_without_limits_is_started_directly(tmp_path: Path):
    assert within_limits(spec(tmp_path, "nowhere", "x")) == ("nowhere", "x")


@linux
async def test_the_command_begins_within_its_limits_and_leads_its_group(tmp_path: Path):
    end, text = await run(
        spec(tmp_path, sys.executable, "-c", TELL, memory_bytes=2**30, cpu_time_s=1.2, nice=3),
    )
    assert (end.exit_code, json.loads(text)) == (0, [[2**30, 2**30], [2, 7], os.nice(0) + 3, True])


@linux
async def test_more_memory_than_allowed_is_refused_to_the_command(tmp_path: Path):
    end, text = await run(spec(tmp_path, sys.executable, "-c", "bytearray(2**30)", memory_bytes=2**29))
    assert (end.exit_code, b"MemoryError" in text) == (1, True)


async def test_cpu_that_is_used_up_ends_the_command(tmp_path: Path):
    end, _ = await run(spec(tmp_path, sys.executable, "-c", "while True: pass", cpu_time_s=1))
    assert end.exit_code == -signal.SIGXCPU


async def test_a_limit_above_our_own_is_ours(tmp_path: Path):
    """A shell that fails to raise a limit would not begin the command at all."""
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_CPU, (50, 60))\n"
        "from agent.adapters.process.limits import within_limits\n"
        "from tests.adapters.test_limits import spec\n"
        "from pathlib import Path\nimport subprocess, sys\n"
        f"it = spec(Path({str(tmp_path)!r}), 'sh', '-c', 'ulimit -t; ulimit -H -t', cpu_time_s=100)\n"
        "sys.exit(subprocess.run(within_limits(it)).returncode)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    told, _ = await process.communicate()
    assert told.split() == [b"60", b"60"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("nowhere-to-be-found",), "was not found on the PATH"),
        (("./missing",), "does not exist"),
        (("./plain",), "is not executable for this user"),
        (("./",), "is a directory"),
    ],
)
async def test_a_command_that_cannot_be_started_is_told_as_without_limits(tmp_path: Path, argv, words):
    (tmp_path / "plain").touch(mode=0o600)
    end, _ = await run(spec(tmp_path, *argv, nice=1))
    assert words in (end.spawn_error or "")
