"""HTTP requests in place of processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agent.model import HttpCall
from agent.ports.processes import CancelFlag, OutputSink


@dataclass(frozen=True, kw_only=True)
class HttpEnd:
    """How a request ended. At most one of `timed_out`, `cancelled`, `error` says why there is no whole answer."""

    status: int | None = None
    """Of the last answer that came whole; also one that nobody expected."""
    phrase: str = ""
    """What the server calls the status; may be empty."""
    location: str | None = None
    """Host that an answer points to which was not followed."""
    timed_out: bool = False
    cancelled: bool = False
    error: str | None = None
    """One sentence naming the host and what to do."""


class HttpCalls(Protocol):
    """Sends requests over one warm pool of connections."""

    async def send(self, call: HttpCall, timeout_s: float, sink: OutputSink, cancel: CancelFlag) -> HttpEnd:
        """Send and take the whole answer in, as `stdout` of the sink; never raises for anything a server does.

        `timeout_s` is for all of it. Nothing that belongs to one job is seen by another: no cookie is kept.
        """
        ...
