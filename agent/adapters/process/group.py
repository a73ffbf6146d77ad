"""Runs commands in sessions of their own and ends everything they started.

POSIX only. No thread per process: a pidfd tells the end where the kernel has one (Linux ≥ 5.3), polling elsewhere.
A job that empties the environment of a child *and* gives it a session of its own has hidden it from us.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from uuid import UUID

import psutil
import structlog

from agent.adapters.process.orphans import RUN_ID, Orphans, adopt_orphans
from agent.adapters.process.pipes import Reader, Writer, start
from agent.adapters.process.refusals import why_not_started
from agent.ports import CancelFlag, OutputSink, ProcessEnd, Processes, ProcessSpec

LINGER_S = 0.25
"""What is left of the group when its leader has ended may end by itself this long (`> >(tee log)` flushes)."""
CHILD_GRACE_S = 2.0
"""Between TERM and KILL of what outlived its parent."""
KILL_WAIT_S = 5.0
"""A process in uninterruptible sleep ignores even KILL: it is given up after this, so that the run can end."""
POLL_S = 0.02
"""Between looks at what cannot be waited for: other people's children."""
QUICK_RUN_S = 60.0
"""In so short a time no process id is used again: only new ids can belong to the run."""

_LEFT_IGNORED = {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTTIN, signal.SIGTTOU}
"""`Popen` restores the first two, which Python itself ignores; a handler for the others would make a terminal's reads
and writes fail, and a session without a terminal never gets them."""

log = structlog.get_logger()


class GroupProcesses(Processes):
    """`agent.ports.Processes`. Create it in the main thread, before the first run."""

    def __init__(self, *, pidfd: bool = True, adopt: bool = False) -> None:
        """`pidfd=False` polls for exits even where the kernel could tell.

        `adopt`: orphans of runs become children of this process, where that is possible: for one that does little else
        than to run jobs.
        """
        self._orphans = Orphans() if adopt and adopt_orphans() else None
        self._pidfd_open: Callable[[int], int] | None = getattr(os, "pidfd_open", None) if pidfd else None
        _heed_signals()

    async def run(self, spec: ProcessSpec, sink: OutputSink, cancel: CancelFlag) -> ProcessEnd:
        """Run to the end; never raises for anything the command does."""
        before = frozenset() if self._orphans else frozenset(psutil.pids())
        began = asyncio.get_running_loop().time()
        try:
            child = _Child(spec, sink, self._pidfd_open)
        except (OSError, ValueError) as err:
            return ProcessEnd(exit_code=None, spawn_error=why_not_started(spec, err))
        run_id = spec.env.get(RUN_ID, "")
        if self._orphans:
            self._orphans.began(child.pid, run_id)
        try:
            ended_by = await _first(child, spec.timeout_s, cancel)
            if ended_by:
                await child.end(spec.grace_s)
            await child.end_group()
            quick = asyncio.get_running_loop().time() - began < QUICK_RUN_S
            left = self._orphans.escaped(child.pid) if self._orphans else {run_id}
            await _end_marked(left - {""}, before if quick else frozenset())
        finally:
            exit_code = child.close()
            if self._orphans:
                self._orphans.ended(child.pid)
        return ProcessEnd(exit_code=exit_code, timed_out=ended_by == "timeout", cancelled=ended_by == "cancel")

    async def end_survivors(self, run_ids: Sequence[UUID]) -> Sequence[UUID]:
        """End the processes that carry one of these run ids; return the run ids that had any."""
        found = await _end_marked({str(run_id) for run_id in run_ids})
        return [run_id for run_id in run_ids if str(run_id) in found]


class _Child:
    """One started command: its pipes, its exit, its group."""

    def __init__(self, spec: ProcessSpec, sink: OutputSink, pidfd_open: Callable[[int], int] | None) -> None:
        # asyncio's own also starts the process within the loop, and then adds a thread that waits for it.
        self._popen, ends = start(spec)
        self.pid = self._popen.pid
        self.exited = asyncio.Event()
        self.over = asyncio.Event()
        """It has exited, or somebody wants it to."""
        self._group_ended = False
        self._readers = [Reader(ends.stdout, "stdout", sink), Reader(ends.stderr, "stderr", sink)]
        self._writer = None if ends.stdin is None else Writer(ends.stdin, spec.stdin or b"")
        self._watch: asyncio.Task[None] | None = None
        self._pidfd = _pidfd(pidfd_open, self._popen.pid)
        if self._pidfd is None:
            self._watch = asyncio.create_task(self._poll_exit(), name=f"exit of process {self._popen.pid}")
        else:
            asyncio.get_running_loop().add_reader(self._pidfd, self._on_exit)

    async def end(self, grace_s: float) -> None:
        """TERM to the group, KILL after the grace; returns when the leader has ended."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        if not await self._gone(grace_s):
            self._signal(signal.SIGKILL)
            await self._gone(KILL_WAIT_S)

    async def end_group(self) -> None:
        """End what the leader left behind in its group."""
        if not await self._gone(LINGER_S):
            log.info("ending processes that a job left behind", group=self._popen.pid)
            await self.end(CHILD_GRACE_S)
        self._group_ended = True

    def close(self) -> int | None:
        """Read what is still in the pipes, close everything; the exit code, None for one that even KILL did not end."""
        if not self._group_ended:
            self._signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=1)
        if self._watch:
            self._watch.cancel()
        self._close_pidfd()
        for reader in self._readers:
            reader.finish()
        if self._writer:
            self._writer.close()
        return self._popen.returncode

    def _on_exit(self) -> None:
        if self._popen.poll() is not None:
            self._close_pidfd()
            self.exited.set()
            self.over.set()

    def _close_pidfd(self) -> None:
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    async def _poll_exit(self) -> None:
        await _until(lambda: self._popen.poll() is not None)
        self.exited.set()
        self.over.set()

    async def _gone(self, seconds: float) -> bool:
        """Wait until leader and group are gone; False if they are not after `seconds`."""
        if self.exited.is_set() and not self._signal(0):
            return True
        try:
            async with asyncio.timeout(seconds):
                await self.exited.wait()
                await _until(lambda: not (self._signal(0) and self._members()))
        except TimeoutError:
            return False
        return True

    def _signal(self, number: int) -> bool:
        """Signal the group; whether there is one. Its id is not used again before the last member is gone."""
        try:
            os.killpg(self._popen.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:  # macOS says so of a group of zombies, Linux of one that became another user
            return bool(self._members())
        return True

    def _members(self) -> list[int]:
        """The living processes of the group: zombies whose parent does not care stay in it for ever."""
        return [pid for pid in psutil.pids() if _group(pid) == self._popen.pid and _alive(pid)]


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # nobody tells us of the end of a process that is not our child
        await asyncio.sleep(POLL_S)


async def _first(child: _Child, timeout_s: float, cancel: CancelFlag) -> str | None:
    """What ends the command: None by itself, `timeout` or `cancel`."""
    timer = asyncio.get_running_loop().call_later(timeout_s, child.over.set)
    cancel.tell(child.over.set)
    try:
        await child.over.wait()
    finally:
        timer.cancel()
    if child.exited.is_set():
        return None
    return "cancel" if cancel.reason else "timeout"


# ── processes that are not our children ─────────────────────────────────────


async def _end_marked(run_ids: Collection[str], known: frozenset[int] = frozenset()) -> set[str]:
    """End every process whose environment names one of these runs, `known` process ids apart; the ids found.

    Looks again until nobody is left, for one who forks while being ended leaves a child.
    """
    found: set[str] = set()
    loop = asyncio.get_running_loop()
    kill_at, give_up_at = loop.time() + CHILD_GRACE_S, loop.time() + CHILD_GRACE_S + KILL_WAIT_S
    told: set[psutil.Process] = set()
    while (marked := list(_marked(run_ids, known))) and loop.time() < give_up_at:
        for process, run_id in marked:
            with contextlib.suppress(psutil.Error):
                if loop.time() >= kill_at:
                    process.kill()
                elif process not in told:
                    process.terminate()
                    process.send_signal(signal.SIGCONT)
            told.add(process)
            found.add(run_id)
        await asyncio.sleep(POLL_S)
    if told:
        log.info("ended processes that had left their group", pids=sorted(process.pid for process in told))
    return found


def _marked(run_ids: Collection[str], known: frozenset[int]) -> Iterator[tuple[psutil.Process, str]]:
    """Processes of these runs. One that hides its environment (another user's; macOS' own) is passed over."""
    for pid in psutil.pids() if run_ids else ():
        if pid in known:
            continue
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            run_id = process.environ().get(RUN_ID, "")
            if run_id in run_ids and process.status() != psutil.STATUS_ZOMBIE and not _above_us(process):
                yield process, run_id


def _above_us(process: psutil.Process) -> bool:
    """This process itself or one that started it: an agent may run inside of another agent's job."""
    us = psutil.Process()
    return process == us or process in us.parents()


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _pidfd(pidfd_open: Callable[[int], int] | None, pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where there is no such thing."""
    try:
        return pidfd_open(pid) if pidfd_open else None
    except OSError:
        return None


# ── before a start ──────────────────────────────────────────────────────────


def _heed_signals() -> None:
    """Undo what an ignoring or blocking starter (nohup, a background shell) gave us: jobs would inherit it.

    A handler that does nothing ignores a signal just as well, and `exec` resets it (POSIX, `execve`).
    """
    if threading.current_thread() is not threading.main_thread():
        return
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
    for number in signal.valid_signals() - _LEFT_IGNORED:
        if signal.getsignal(number) is signal.SIG_IGN:
            with contextlib.suppress(OSError):
                signal.signal(number, lambda *_: None)
