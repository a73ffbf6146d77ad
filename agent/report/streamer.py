"""Sends the output of runs while they execute, for whoever is watching: best effort, never in anybody's way.

The report has the output as well, so nothing here is kept for later: what cannot be sent is dropped, oldest first. A
run that is over before its first piece is due sends nothing. Nothing is sent while nothing is printed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from agent.errors import CronmirrorError, Refused
from agent.model import LogPiece, Run
from agent.pace import backoff, first, within
from agent.ports import Clock, Gate, LiveSink, LogCall, StreamRedaction
from agent.report.tap import Tap

log = structlog.get_logger()

FIRST_S: Final = 0.5
"""From a run's begin to its first piece."""
EVERY_S: Final = 1.0
"""Between two calls; whoever watches looks once a second."""
HURRY_S: Final = 0.25
"""Between two calls where a run has ended: its last pieces belong to its report."""
FAIR_BYTES: Final = 64 * 1024
"""Of one run in a call, so that a noisy one delays nobody."""
CALL_BYTES: Final = 512 * 1024
CALL_PIECES: Final = 900
"""The server takes 1,000; a run adds up to about 70 at a time."""
MAX_ENDED: Final = 64
"""Runs that are over and not sent to their end."""
PATIENCE: Final = 5
"""Calls in which the server does not know a run that is over, until it is given up."""
RETRY_CAP_S: Final = 60.0
UNKNOWN_CAP_S: Final = 30.0


class _Feed:
    """One run: what it printed, and what has been taken from it and not answered."""

    def __init__(self, run: Run, tap: Tap, opened_at: float) -> None:
        self.run = run
        self.tap = tap
        self.from_at = opened_at + FIRST_S
        """Not before; by the monotonic clock."""
        self.unsent: list[LogPiece] = []
        self.seq = 0
        self.ended = False
        """The last piece is in `unsent`, or was sent."""
        self.unknown = 0

    @property
    def ready(self) -> bool:
        return bool(self.unsent) or (not self.ended and self.tap.ready)

    @property
    def over(self) -> bool:
        """Nothing is left to do."""
        return self.ended and not self.unsent

    @property
    def needless(self) -> bool:
        """It ended before anything of it was due, and its report has it all."""
        return self.tap.closed and not self.seq and self.tap.total <= self.run.job.output_limit

    def fill(self, clock: Clock) -> None:
        """Take the next pieces, if the last ones are answered."""
        if self.unsent or self.ended:
            return
        pieces = self.tap.take(FAIR_BYTES)
        if self.tap.done:
            pieces, self.ended = [*pieces, ("stdout", "")], True
        for stream, text in pieces:
            self.unsent.append(LogPiece(run_id=self.run.id, seq=self.seq, at=clock.now(), stream=stream, text=text))
            self.seq += 1


class LogStreamer:
    """The log streamer loop. `open` is what the executor calls for every run that begins."""

    def __init__(self, call: LogCall, gate: Gate, redaction: StreamRedaction, clock: Clock) -> None:
        self._call = call
        self._gate = gate
        self._redaction = redaction
        self._clock = clock
        self._feeds: list[_Feed] = []
        self._stirred = asyncio.Event()
        self._hurry = asyncio.Event()
        self._called_at = float("-inf")
        self._failures = 0

    def open(self, run: Run) -> LiveSink:
        """Watch a run that begins."""
        tap = Tap(self._redaction, lambda: self._stir(feed))
        feed = _Feed(run, tap, self._clock.monotonic())
        self._feeds.append(feed)
        return tap

    async def run(self) -> None:
        """Send for ever."""
        while True:
            await self._wait_due()
            await self._gate.wait_accepted()
            await self._send_due()

    async def flush(self, timeout_s: float) -> None:
        """At shutdown, for after `run` was cancelled: the last pieces, for at most `timeout_s`."""
        await within(self._clock, timeout_s, self._send_all())

    async def _send_all(self) -> None:
        while self._gate.accepted and not self._failures:
            last = [feed for feed in self._feeds if feed.tap.closed and not feed.unknown]
            if not last:
                return
            await self._send(last)

    def _stir(self, feed: _Feed) -> None:
        if feed.tap.closed and feed in self._feeds:
            if feed.needless or not (feed.seq or self._gate.accepted):
                self._feeds.remove(feed)
                return
            self._forget_oldest_ended()
            self._hurry.set()
        self._stirred.set()

    def _forget_oldest_ended(self) -> None:
        ended = [each for each in self._feeds if each.tap.closed]
        for each in ended[:-MAX_ENDED]:
            self._feeds.remove(each)

    async def _wait_due(self) -> None:
        while True:
            self._stirred.clear()
            self._hurry.clear()
            ready = [feed for feed in self._feeds if feed.ready]
            if not ready:
                await self._stirred.wait()
                continue
            wait_s = min(map(self._due_at, ready)) - self._clock.monotonic()
            if wait_s <= 0:
                return
            await first(self._clock.sleep(wait_s), self._hurry.wait())

    def _due_at(self, feed: _Feed) -> float:
        return max(feed.from_at, self._called_at + (HURRY_S if feed.tap.closed else EVERY_S))

    async def _send_due(self) -> None:
        """One round: everybody who has something gets his share, in as many calls as that takes."""
        now = self._clock.monotonic()
        due = [feed for feed in self._feeds if feed.ready and feed.from_at <= now]
        while due:
            due = await self._send(due)
        self._called_at = self._clock.monotonic()
        if self._failures:
            await self._clock.sleep(backoff(self._failures, cap_s=RETRY_CAP_S))

    async def _send(self, due: Sequence[_Feed]) -> list[_Feed]:
        """One call; those for whom there was no room in it."""
        chosen = self._fill(due)
        if not chosen:
            return []
        try:
            await self._offer(chosen)
        except CronmirrorError as error:
            self._failed(error)
            return []
        self._failures = 0
        self._feeds = [feed for feed in self._feeds if not feed.over]
        return [feed for feed in due if feed not in chosen]

    def _fill(self, due: Sequence[_Feed]) -> list[_Feed]:
        """Those that fit into one call."""
        chosen: list[_Feed] = []
        size = count = 0
        for feed in due:
            if chosen and (size >= CALL_BYTES or count >= CALL_PIECES - 100):
                break
            feed.fill(self._clock)
            chosen.append(feed)
            size += sum(len(piece.text) for piece in feed.unsent)
            count += len(feed.unsent)
        return [feed for feed in chosen if feed.unsent]

    async def _offer(self, feeds: Sequence[_Feed]) -> None:
        try:
            unknown = await self._call.append_logs([piece for feed in feeds for piece in feed.unsent])
        except Refused as refusal:
            await self._narrow(feeds, refusal)
            return
        for feed in feeds:
            if feed.run.id in unknown:
                self._wait_for_start(feed)
            else:
                feed.unsent, feed.unknown = [], 0

    async def _narrow(self, feeds: Sequence[_Feed], refusal: Refused) -> None:
        """What one run printed must not silence the others: each alone, and none that was refused alone again."""
        if len(feeds) > 1:
            for feed in feeds:
                await self._offer([feed])
            return
        (culprit,) = feeds
        log.warning("live output refused; its report has it all", run=str(culprit.run.id), error=str(refusal))
        culprit.ended, culprit.unsent = True, []

    def _wait_for_start(self, feed: _Feed) -> None:
        """Its start is still in the outbox, or was refused: ask again, ever more rarely."""
        feed.unknown += 1
        feed.from_at = self._clock.monotonic() + backoff(feed.unknown, cap_s=UNKNOWN_CAP_S)
        if feed.tap.closed and feed.unknown >= PATIENCE:
            feed.ended, feed.unsent = True, []

    def _failed(self, error: CronmirrorError) -> None:
        self._failures += 1
        said = log.debug if self._failures > 1 else log.warning
        said("live output not sent; reports have it all", error=str(error), failures=self._failures)
