from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from agent.adapters.process import GroupProcesses
from agent.adapters.process import group as process
from agent.ports import ProcessEnd, ProcessSpec
from tests.support.processes import alive
from tests.support.waiting import wait_until

PYTHON = sys.executable


class Flag:
    """A cancel flag that a test raises."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._set = asyncio.Event()
        self._told: list = []

    def set(self, reason: str = "cancelled") -> None:
        self.reason = reason
        self._set.set()
        for told in self._told:
            told()

    def tell(self, told) -> None:
        self._told.append(told)
        if self.reason:
            told()

    async def wait(self) -> str:
        await self._set.wait()
        return self.reason or ""


class Heard:
    """Output as it came."""

    def __init__(self) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()

    def feed(self, stream: str, data: bytes) -> None:
        getattr(self, stream).extend(data)


class Box:
    """One adapter and what its last run said."""

    def __init__(self, folder: Path, *, pidfd: bool) -> None:
        self.folder = folder
        self.processes = GroupProcesses(pidfd=pidfd)
        self.heard = Heard()
        self.flag = Flag()
        self.run_id = str(uuid4())

    async def run(self, *argv: str, **spec) -> ProcessEnd:
        fields = {
            "env": {"PATH": os.environ["PATH"], "CRONMIRROR_RUN_ID": self.run_id},
            "workdir": str(self.folder),
            "stdin": None,
            "timeout_s": 30.0,
            "grace_s": 1.0,
        }
        return await self.processes.run(ProcessSpec(**{**fields, "argv": argv, **spec}), self.heard, self.flag)

    async def python(self, script: str, *args: str, **spec) -> ProcessEnd:
        return await self.run(PYTHON, "-c", script, *args, **spec)

    async def sh(self, script: str, **spec) -> ProcessEnd:
        return await self.run("/bin/sh", "-c", script, **spec)

    async def pid(self, name: str = "pid") -> int:
        """The process id that a script wrote into a file of the work directory."""
        return int(await wait_until(lambda: _text(self.folder / name)))

    @property
    def out(self) -> str:
        return self.heard.stdout.decode()


@pytest.fixture(params=[True, False], ids=["pidfd", "polling"])
def box(tmp_path: Path, request: pytest.FixtureRequest) -> Box:
    return Box(tmp_path, pidfd=request.param)


def _text(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""


def _sleeper(run_id: str) -> subprocess.Popen[bytes]:
    """A process of that run which is no child of the adapter's."""
    return subprocess.Popen(["sleep", "60"], env={**os.environ, "CRONMIRROR_RUN_ID": run_id})


def _gone(pid: int) -> bool:
    return not alive(pid)


# ── plain runs ──────────────────────────────────────────────────────────────


async def test_output_and_exit_code_come_back(box: Box):
    end = await box.sh("echo out; echo err >&2; exit 3")
    assert end == ProcessEnd(exit_code=3)
    assert (bytes(box.heard.stdout), bytes(box.heard.stderr)) == (b"out\n", b"err\n")


async def test_a_process_ended_by_a_signal_has_its_negative_as_code(box: Box):
    assert await box.sh("kill -SEGV $$") == ProcessEnd(exit_code=-signal.SIGSEGV)


async def test_the_environment_is_complete_and_nothing_else_is_inherited(box: Box, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_AGENT", "1")
    await box.run("/usr/bin/env", env={"ONLY": "this"})
    assert box.out == "ONLY=this\n"


async def test_the_working_directory_is_the_one_asked_for(box: Box):
    await box.sh("pwd -P")
    assert box.out.strip() == str(box.folder.resolve())


async def test_stdin_is_empty_unless_given(box: Box):
    await box.sh("cat; echo end")
    assert box.out == "end\n"


async def test_a_large_stdin_arrives_whole(box: Box):
    data = b"0123456789" * 500_000
    end = await box.python("import sys; print(len(sys.stdin.buffer.read()))", stdin=data)
    assert end.exit_code == 0
    assert box.out == "5000000\n"


async def test_a_process_that_does_not_read_its_stdin_ends_all_the_same(box: Box):
    assert (await box.sh("exit 0", stdin=b"x" * 5_000_000)).exit_code == 0
    assert (await box.sh("exec <&-; sleep 0.2", stdin=b"x" * 5_000_000)).exit_code == 0


async def test_a_process_has_a_session_of_its_own_and_no_terminal(box: Box):
    await box.python("import os; print(os.getsid(0) == os.getpgid(0) == os.getpid())")
    assert box.out == "True\n"


async def test_no_descriptor_but_the_three_standard_ones_is_inherited(box: Box):
    open_fd = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(open_fd, True)
    try:
        await box.python("import os\nfor n in range(100):\n try: os.fstat(n); print(n)\n except OSError: pass")
    finally:
        os.close(open_fd)
    assert box.out.split() == ["0", "1", "2"]


async def test_no_thread_is_made_for_a_run(box: Box):
    before = threading.active_count()
    running = asyncio.create_task(box.sh("echo $$ > pid; sleep 5"))
    await box.pid()
    assert threading.active_count() == before
    box.flag.set()
    await running


# ── output ──────────────────────────────────────────────────────────────────


async def test_100_mb_of_output_pass_in_a_bounded_time(tmp_path: Path):
    box = Box(tmp_path, pidfd=True)
    count = 0

    class Counting:
        def feed(self, stream: str, data: bytes) -> None:
            nonlocal count
            count += len(data)

    box.heard = Counting()
    began = time.monotonic()
    await box.sh("head -c 100000000 /dev/zero")
    assert count == 100_000_000
    assert time.monotonic() - began < 5


async def test_the_loop_stays_responsive_during_a_flood(box: Box):
    flood = asyncio.create_task(box.sh("exec cat /dev/zero", timeout_s=1.0))
    worst = 0.0
    while not flood.done():
        before = time.monotonic()
        await asyncio.sleep(0)
        worst = max(worst, time.monotonic() - before)
        box.heard.stdout.clear()
    assert (await flood).timed_out
    assert worst < 0.5


async def test_the_last_words_of_a_process_are_heard(box: Box):
    for _ in range(20):
        box.heard.stdout.clear()
        await box.python("import sys; sys.stdout.write('x' * 60_000 + 'end')")
        assert box.out.endswith("end")


async def test_what_is_still_in_the_pipes_after_the_end_is_heard(box: Box):
    """The end may be seen before the loop has looked at the pipes."""
    spec = ProcessSpec(
        argv=["/bin/sh", "-c", "echo out; echo err >&2"], env={}, workdir="/", stdin=None, timeout_s=9, grace_s=1
    )
    child = process._Child(spec, box.heard, box.processes._pidfd_open)
    child._popen.wait()
    assert child.close() == 0
    assert (bytes(box.heard.stdout), bytes(box.heard.stderr)) == (b"out\n", b"err\n")


# ── timeout and cancellation ────────────────────────────────────────────────


async def test_a_timeout_ends_the_whole_group(box: Box):
    end = await box.sh("sleep 60 & echo $! > pid; wait", timeout_s=0.5)
    assert end == ProcessEnd(exit_code=-signal.SIGTERM, timed_out=True)
    assert _gone(await box.pid())


async def test_cancelling_ends_the_whole_group(box: Box):
    running = asyncio.create_task(box.sh("sleep 60 & echo $! > pid; wait"))
    pid = await box.pid()
    box.flag.set()
    assert await running == ProcessEnd(exit_code=-signal.SIGTERM, cancelled=True)
    assert _gone(pid)


async def test_a_process_may_use_its_grace_to_end_well(box: Box):
    script = "trap 'echo cleaned; exit 0' TERM; echo $$ > pid; while :; do sleep 0.05; done"
    running = asyncio.create_task(box.sh(script, grace_s=10.0))
    await box.pid()
    box.flag.set()
    assert await running == ProcessEnd(exit_code=0, cancelled=True)
    assert box.out == "cleaned\n"


async def test_children_may_use_the_grace_after_their_parent_has_ended(box: Box):
    script = (
        "(trap 'sleep 0.6; echo child cleaned; exit' TERM; echo $$ > pid; while :; do sleep 0.05; done) & "
        "trap exit TERM; wait"
    )
    running = asyncio.create_task(box.sh(script, grace_s=10.0))
    await box.pid()
    box.flag.set()
    await running
    assert box.out == "child cleaned\n"


async def test_who_ignores_term_is_killed_after_the_grace(box: Box):
    began = time.monotonic()
    end = await box.sh("trap '' TERM; echo $$ > pid; while :; do sleep 0.1; done", timeout_s=0.5, grace_s=0.5)
    assert end == ProcessEnd(exit_code=-signal.SIGKILL, timed_out=True)
    assert time.monotonic() - began < 4
    assert _gone(await box.pid())


async def test_a_stopped_process_can_be_ended_too(box: Box):
    running = asyncio.create_task(box.sh("echo $$ > pid; kill -STOP $$", grace_s=10.0))
    pid = await box.pid()
    await wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    box.flag.set()
    assert (await running).exit_code == -signal.SIGTERM


async def test_a_process_that_ended_by_itself_was_not_cancelled(box: Box):
    end = await box.sh("exit 0")
    box.flag.set()
    assert end == ProcessEnd(exit_code=0)


async def test_when_the_awaiting_task_is_cancelled_nothing_is_left(box: Box):
    running = asyncio.create_task(box.sh("trap '' TERM; sleep 60 & echo $! > pid; wait"))
    pid = await box.pid()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await wait_until(lambda: _gone(pid))


async def test_when_the_awaiting_task_is_cancelled_after_the_leaders_end_nothing_is_left(box: Box, capsys):
    running = asyncio.create_task(box.sh("(trap '' TERM; echo x > ready; exec sleep 60) & echo $! > pid"))
    pid = await box.pid()
    await wait_until(lambda: _text(box.folder / "ready"))
    await wait_until(lambda: "left behind" in capsys.readouterr().out)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await wait_until(lambda: _gone(pid))


# ── what is left behind ─────────────────────────────────────────────────────


async def test_children_left_in_the_group_are_ended(box: Box):
    end = await box.sh("sleep 60 & echo $! > pid; echo done")
    assert end == ProcessEnd(exit_code=0)
    assert box.out == "done\n"
    assert _gone(await box.pid())


async def test_a_child_that_is_just_finishing_is_let_finish(box: Box):
    await box.sh("(sleep 0.1; echo flushed) & exit 0")
    assert box.out == "flushed\n"


async def test_a_child_left_behind_that_ignores_term_is_killed(box: Box, monkeypatch):
    monkeypatch.setattr(process, "CHILD_GRACE_S", 0.3)
    await box.sh("trap '' TERM; sleep 60 & echo $! > pid")
    assert _gone(await box.pid())


async def test_a_child_in_a_session_of_its_own_is_ended(box: Box):
    script = (
        "import os, subprocess\n"
        "child = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "open('pid', 'w').write(str(child.pid))\n"
    )
    assert (await box.python(script)).exit_code == 0
    assert _gone(await box.pid())


async def test_a_daemon_that_forked_twice_and_ignores_term_is_ended(box: Box, monkeypatch):
    monkeypatch.setattr(process, "CHILD_GRACE_S", 0.3)
    script = (
        "import os, signal, time\n"
        "if os.fork():\n"
        "    os.wait()\n"
        "    while not os.path.exists('pid'): time.sleep(0.01)\n"
        "    raise SystemExit\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open('pid.new', 'w').write(str(os.getpid())); os.rename('pid.new', 'pid')\n"
        "signal.pause()\n"
    )
    assert (await box.python(script)).exit_code == 0
    assert _gone(await box.pid())


async def test_a_stranger_who_keeps_the_pipes_open_cannot_hang_a_run(box: Box):
    """It has emptied its environment and left the session: nothing tells that it is ours."""
    script = (
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '60'], start_new_session=True, env={})\n"
        "open('pid', 'w').write(str(child.pid)); print('said')\n"
    )
    began = time.monotonic()
    assert (await box.python(script)).exit_code == 0
    assert time.monotonic() - began < 3
    assert box.out == "said\n"
    os.kill(await box.pid(), signal.SIGKILL)


async def test_after_a_long_run_every_process_is_looked_at(box: Box, monkeypatch):
    """Ids may have been used again, so those of processes older than the run tell nothing."""
    old = _sleeper(box.run_id)
    await box.sh("exit 0")
    assert old.poll() is None
    monkeypatch.setattr(process, "QUICK_RUN_S", -1.0)
    await box.sh("exit 0")
    assert old.wait() == -signal.SIGTERM


async def test_survivors_of_a_previous_life_are_ended_by_their_run_id(box: Box):
    mine, other = uuid4(), uuid4()
    survivor, stranger = _sleeper(str(mine)), _sleeper(str(uuid4()))
    assert await box.processes.end_survivors([other, mine]) == [mine]
    assert survivor.wait() == -signal.SIGTERM
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
    assert await box.processes.end_survivors([other, mine]) == []
    assert await box.processes.end_survivors([]) == []


async def test_an_agent_inside_of_a_job_does_not_end_itself(box: Box):
    """The agent of a job of another agent carries that run's id, and may be told to look for it."""
    run_id = uuid4()
    script = (
        "import asyncio, sys, uuid; from agent.adapters.process import GroupProcesses\n"
        "print(asyncio.run(GroupProcesses().end_survivors([uuid.UUID(sys.argv[1])])))"
    )
    env = {**os.environ, "CRONMIRROR_RUN_ID": str(run_id), "PYTHONPATH": str(Path(process.__file__).parents[2])}
    await box.python(script, str(run_id), env=env)
    assert box.out == "[]\n"


async def test_processes_that_hide_their_environment_are_passed_over(box: Box, monkeypatch):
    def denied(self: psutil.Process) -> dict[str, str]:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "environ", denied)
    assert await box.processes.end_survivors([uuid4()]) == []
    assert (await box.sh("exit 0")).exit_code == 0


async def test_many_runs_leave_no_zombie_no_descriptor_and_no_task(box: Box):
    me = psutil.Process()
    await box.sh("exit 0")
    await asyncio.sleep(0)
    before = me.num_fds(), len(asyncio.all_tasks()), me.children()
    for _ in range(20):
        envs = [{"CRONMIRROR_RUN_ID": str(uuid4())} for _ in range(10)]
        await asyncio.gather(*(box.sh("echo x", stdin=b"y", env=env) for env in envs))
    await box.run("no-such-command")
    await asyncio.sleep(0)
    gc.collect()
    assert (me.num_fds(), len(asyncio.all_tasks()), me.children()) == before


# ── what cannot be started ──────────────────────────────────────────────────


async def fault(box: Box, *argv: str, **spec) -> str:
    end = await box.run(*argv, **spec)
    assert (end.exit_code, end.timed_out, end.cancelled) == (None, False, False)
    assert end.spawn_error
    return end.spawn_error


async def test_a_command_that_is_nowhere_names_the_path_searched(box: Box):
    message = await fault(box, "resticc", "backup", env={"PATH": "/usr/bin:/bin"})
    assert message == (
        'command "resticc" was not found on the PATH (/usr/bin:/bin); install it, or write its full path.'
    )


async def test_without_a_path_the_systems_default_is_searched(box: Box):
    assert os.defpath in await fault(box, "resticc", env={})


async def test_a_file_that_does_not_exist_is_named_in_full(box: Box):
    assert f'command "{box.folder}/x.sh" does not exist' in await fault(box, "./x.sh")


async def test_a_file_without_the_executable_bit_gets_the_command_that_mends_it(box: Box):
    script = box.folder / "x.sh"
    script.write_text("#!/bin/sh\n")
    assert f"try: chmod +x {script}" in await fault(box, "./x.sh")
    assert f"try: chmod +x {script}" in await fault(box, "x.sh", env={"PATH": str(box.folder)})


async def test_a_script_without_its_first_line_says_so(box: Box):
    script = box.folder / "x.sh"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    assert 'has no "#!" line' in await fault(box, str(script))


async def test_a_script_with_a_missing_interpreter_says_so(box: Box):
    script = box.folder / "x.sh"
    script.write_text("#!/opt/nowhere/python\n")
    script.chmod(0o755)
    assert "interpreter" in await fault(box, str(script))


async def test_a_directory_is_no_command(box: Box):
    assert "is a directory" in await fault(box, str(box.folder))


@pytest.mark.parametrize(("make", "words"), [(False, "does not exist"), (True, "is not a directory")])
async def test_a_missing_workdir_is_named(box: Box, make: bool, words: str):
    workdir = box.folder / "gone"
    if make:
        workdir.touch()
    assert f'workdir "{workdir}" {words}' in await fault(box, "true", workdir=str(workdir))


async def test_a_workdir_that_may_not_be_entered_is_named(box: Box, monkeypatch):
    """As root everything may be entered: the kernel's answer is played."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(subprocess, "Popen", _refusing)
    assert "cannot be entered" in await fault(box, "true")


async def test_a_nul_in_an_argument_is_refused(box: Box):
    assert "null byte" in await fault(box, "true", "a\0b")


async def test_too_long_arguments_are_refused(box: Box):
    assert "Argument list too long" in await fault(box, "true", "x" * 10_000_000)


def _refusing(*args: object, **kwargs: object) -> None:
    raise PermissionError(13, "Permission denied")


# ── signals ─────────────────────────────────────────────────────────────────


async def test_a_job_inherits_neither_ignored_nor_blocked_signals(box: Box):
    agent = (
        "import asyncio, os, signal, sys\n"
        "for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD, signal.SIGUSR1):\n"
        "    signal.signal(number, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGALRM})\n"
        "from agent.adapters.process import GroupProcesses\n"
        "from agent.ports import ProcessSpec\n"
        "class Sink:\n"
        "    def feed(self, stream, data): sys.stdout.write(data.decode())\n"
        "class Never:\n"
        "    reason = None\n"
        "    async def wait(self): await asyncio.Event().wait()\n"
        "    def tell(self, told): pass\n"
        "ask = 'import signal, json; print(json.dumps([[int(n) for n in signal.valid_signals()'"
        "    ' if signal.getsignal(n) is signal.SIG_IGN], [int(n) for n in signal.pthread_sigmask(0, [])]]))'\n"
        "spec = ProcessSpec(argv=[sys.executable, '-c', ask], env={}, workdir='/',"
        "    stdin=None, timeout_s=9, grace_s=1)\n"
        "processes = GroupProcesses()\n"
        "os.kill(os.getpid(), signal.SIGHUP)\n"
        "asyncio.run(processes.run(spec, Sink(), Never()))\n"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(process.__file__).parents[2])}
    end = await box.python(agent, env=env)
    assert end.exit_code == 0, bytes(box.heard.stderr).decode()
    ignored, blocked = json.loads(box.out)
    assert set(ignored) <= {signal.SIGPIPE, signal.SIGXFSZ}, "which Python itself ignores"
    assert blocked == []


async def test_in_another_thread_signals_are_left_alone():
    handler = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        thread = threading.Thread(target=GroupProcesses)
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN
        GroupProcesses()
        assert signal.getsignal(signal.SIGUSR2) is not signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR2, handler)
