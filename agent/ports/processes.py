"""Processes, their output, their payloads, and how they are told to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from agent.model import Json, RunLimits


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """What to start. The environment is complete: nothing is inherited."""

    argv: Sequence[str]
    env: Mapping[str, str]
    workdir: str
    stdin: bytes | None
    """Written to the process, then closed; None: /dev/null."""
    timeout_s: float
    grace_s: float
    """Between TERM and KILL of the whole process group."""
    limits: RunLimits = field(default_factory=RunLimits)
    """Applied to the process before the command begins, inherited by its children."""


@dataclass(frozen=True, kw_only=True)
class ProcessEnd:
    """How a process ended. At most one of `timed_out`, `cancelled`, `spawn_error` says why."""

    exit_code: int | None
    """Negative: ended by that signal. None when it never started."""
    timed_out: bool = False
    cancelled: bool = False
    spawn_error: str | None = None
    """One sentence naming the command or the directory and what to do."""


class OutputSink(Protocol):
    """Takes a process' output as it comes."""

    def feed(self, stream: str, data: bytes) -> None:
        """`stream` is `stdout` or `stderr`. Called from the event loop; must not block or raise."""
        ...


class LiveSink(OutputSink, Protocol):
    """Shows one run's output to whoever watches while it runs. Takes it as it is: hiding secrets is its own part."""

    def close(self) -> None:
        """The run has ended and nothing more comes; its report is committed after this. Must not block or raise."""
        ...


class Processes(Protocol):
    """Starts processes in a group of their own and ends the whole group."""

    async def run(self, spec: ProcessSpec, sink: OutputSink, cancel: CancelFlag) -> ProcessEnd:
        """Run to the end; never raises for anything the command does.

        When it returns, no process of the group is left (TERM → grace → KILL, children that outlive their parent too).
        """
        ...

    async def end_survivors(self, run_ids: Sequence[UUID]) -> Sequence[UUID]:
        """End the processes that carry one of these `CRONMIRROR_RUN_ID`s; return the run ids that had any."""
        ...


class CancelFlag(Protocol):
    """One-way flag that an executing run watches."""

    @property
    def reason(self) -> str | None:
        """None until set; then a `Reason` value (`cancelled`, `lost`, `shutdown`, `overlap`)."""
        ...

    async def wait(self) -> str:
        """Return the reason once it is set."""
        ...

    def tell(self, told: Callable[[], None]) -> None:
        """Call this once it is set, in the loop; for who would make a task to `wait`."""
        ...


class Payloads(Protocol):
    """Checks payloads and hands them over as files."""

    def fault(self, schema: Mapping[str, Json], payload: Json) -> str | None:
        """None when `payload` fits, else one sentence: `payload.width: 0 is less than the minimum of 1`."""
        ...

    def write(self, run_id: UUID, payload: Json) -> str:
        """Write JSON to a file only we can read; return its absolute path. Raises `StateError`."""
        ...

    def write_token(self, run_id: UUID, token: str) -> str:
        """Write the token alone to a file only we can read; return its absolute path. Raises `StateError`."""
        ...

    def remove(self, run_id: UUID) -> None:
        """Remove the run's files; silent when there are none."""
        ...


class CleanStream(Protocol):
    """Hides secrets in one stream of bytes that comes in chunks, also those that a border goes through."""

    def feed(self, data: bytes) -> bytes:
        """Take a chunk, return what is certain to be clean."""
        ...

    def close(self) -> bytes:
        """Return the rest."""
        ...


class StreamRedaction(Protocol):
    """Knows the secrets."""

    @property
    def longest(self) -> int:
        """Bytes of the longest spelling of a secret; 0 without secrets."""
        ...

    def stream(self) -> CleanStream:
        """Begin a stream."""
        ...


Redact = Callable[[str], str]
"""Replaces every known secret (plain, base64, URL-encoded) in a text by `***`."""
