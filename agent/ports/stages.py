"""Between the stages of the path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from agent.model import Run, RunningRun, Turn


class Runner(Protocol):
    """Takes runs and executes them when their turn comes (run/slots.py)."""

    @property
    def free(self) -> int:
        """How many more runs could start now (global concurrency); 0 while draining."""
        ...

    def claimable(self) -> Sequence[str]:
        """Ids of enabled and disabled jobs for which a request could start now (a busy `skip`/`queue` job is not)."""
        ...

    def ahead(self) -> tuple[int, Sequence[str]]:
        """How many more requests, of which jobs, would begin in a moment although no slot is free now.

        Only jobs whose runs go side by side and have been quick lately; (0, …) where that is not worth a claim yet.
        """
        ...

    def submit(self, run: Run) -> None:
        """Admit the run: it starts, waits, or is recorded as skipped, by its job's overlap rule and concurrency.

        Requests never skip: where their job is busy they wait.
        """
        ...

    def cancel_request(self, request_id: UUID, reason: str) -> bool:
        """Cancel the run of this request; False when there is none."""
        ...

    def running(self) -> Sequence[RunningRun]:
        """Everything admitted and not ended, waiting runs included."""
        ...

    async def wait_change(self) -> None:
        """Return when a run has begun or ended since the call."""
        ...


class Gate(Protocol):
    """Whether Supabase knows this agent, and in which order things may be said to it (report/link.py)."""

    @property
    def accepted(self) -> bool:
        """Hello and the last beat were answered."""
        ...

    @property
    def claiming(self) -> bool:
        """Accepted, and the outbox has been drained since the last gap."""
        ...

    async def wait_accepted(self) -> None:
        """Return as soon as `accepted`."""
        ...

    async def wait_claiming(self) -> None:
        """Return as soon as `claiming`."""
        ...

    async def wait_recovered(self) -> None:
        """Return when the server answers again after it did not: whoever rests from a failure may try at once."""
        ...

    def lost(self) -> None:
        """A call could not reach the server: a gap begins; the beat tries again soon."""
        ...


class PauseState(Protocol):
    """Whether the project or this agent is paused (told by the beat)."""

    def paused(self, what: str) -> bool:
        """`what`: `schedule` or `claims`."""
        ...


class Turns(Protocol):
    """Whose turn a slot of a shared job is (queue/turns.py)."""

    @property
    def open(self) -> bool:
        """Whether Supabase can be asked now."""
        ...

    async def wait_open(self) -> None:
        """Return as soon as `open`."""
        ...

    async def ask(self, run: Run) -> Turn:
        """Ask for the run's slot under its id, which is on disk by now. Never raises our errors: see `Turn.UNKNOWN`."""
        ...
