"""The pipes of a command: made before its start, read and fed within the event loop.

`Popen` would make them as well, but its files and the exit stack around them cost an eighth of what a process costs us.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from agent.adapters.process.limits import within_limits
from agent.ports import OutputSink, ProcessSpec

CHUNK = 1 << 18
LAST_CHUNKS = 16
"""Reads after the end: more than a full pipe holds, and an end to a stranger who keeps writing."""


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Our ends, as file descriptors. The others are the child's alone: what it closes is closed."""

    stdout: int
    stderr: int
    stdin: int | None
    """None: the child reads nothing."""


def start(spec: ProcessSpec) -> tuple[subprocess.Popen[bytes], Ends]:
    """Start the command in a session of its own. Raises what `Popen` raises; nothing stays open then."""
    ours: list[int] = []
    theirs: list[int] = []
    try:
        stdout, stderr = (_pipe(ours, theirs) for _ in range(2))
        stdin = None if spec.stdin is None else _pipe(theirs, ours)
        popen = subprocess.Popen(
            within_limits(spec),
            env=spec.env,
            cwd=spec.workdir,
            stdin=_nothing() if stdin is None else stdin[0],
            stdout=stdout[1],
            stderr=stderr[1],
            start_new_session=True,
        )
    except BaseException:
        _close(ours)
        raise
    finally:
        _close(theirs)
    return popen, Ends(stdout=stdout[0], stderr=stderr[0], stdin=stdin and stdin[1])


def _pipe(readers: list[int], writers: list[int]) -> tuple[int, int]:
    """Both ends: where to read and where to write."""
    ends = os.pipe()
    readers.append(ends[0])
    writers.append(ends[1])
    return ends


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


@cache
def _nothing() -> int:
    """What everybody reads who is given nothing; open as long as this process lives."""
    return os.open(os.devnull, os.O_RDWR)


class Reader:
    """Hands what comes through a pipe to the sink."""

    def __init__(self, pipe: int, stream: str, sink: OutputSink) -> None:
        self._pipe: int | None = pipe
        self._stream = stream
        self._sink = sink
        os.set_blocking(pipe, False)
        asyncio.get_running_loop().add_reader(pipe, self._read)

    def finish(self) -> None:
        """Take what is there, not waiting for an end that a stranger may withhold."""
        for _ in range(LAST_CHUNKS):
            if not self._read():
                break
        self._close()

    def _read(self) -> bool:
        if self._pipe is None:
            return False
        try:
            data = os.read(self._pipe, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._close()
            return False
        self._sink.feed(self._stream, data)
        return True

    def _close(self) -> None:
        if self._pipe is not None:
            asyncio.get_running_loop().remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = None


class Writer:
    """Feeds a process' standard input and closes it; gives up silently when nobody reads."""

    def __init__(self, pipe: int, data: bytes) -> None:
        self._pipe: int | None = pipe
        self._left = memoryview(data)
        os.set_blocking(pipe, False)
        asyncio.get_running_loop().add_writer(pipe, self._write)

    def close(self) -> None:
        """What has not been read by now never will be."""
        if self._pipe is not None:
            asyncio.get_running_loop().remove_writer(self._pipe)
            os.close(self._pipe)
            self._pipe = None

    def _write(self) -> None:
        if self._pipe is None:
            return
        try:
            self._left = self._left[os.write(self._pipe, self._left) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._left = self._left[:0]
        if not self._left:
            self.close()
