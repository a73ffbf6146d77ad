"""The outbox and the notes in memory, for tests in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent.errors import StateError
from agent.model import OutboxEntry, Pause, Report, Verdict


@dataclass(kw_only=True)
class FakeOutboxStore:
    """`agent.ports.OutboxStore`. `weight` is the size of a report in bytes."""

    entries: dict[int, OutboxEntry] = field(default_factory=dict)
    aside: dict[int, str] = field(default_factory=dict)
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    weight: int = 300
    full: bool = False
    _seq: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, report: Report) -> int:
        self._seq += 1
        self.entries[self._seq] = OutboxEntry(seq=self._seq, report=report)
        self._changed.set()
        return self._seq

    def _to_send(self) -> list[OutboxEntry]:
        return [entry for seq, entry in self.entries.items() if seq not in self.aside]

    async def pending(self, limit: int, max_bytes: int) -> Sequence[OutboxEntry]:
        fitting = min(limit, max(1, max_bytes // self.weight))
        return tuple(self._to_send()[:fitting])

    async def newest(self) -> int:
        return max((entry.seq for entry in self._to_send()), default=0)

    async def settle(self, verdicts: Mapping[int, Verdict]) -> None:
        if self.full:
            raise StateError("the disk is full")
        for seq, verdict in verdicts.items():
            if self.entries.pop(seq, None):
                self.verdicts[seq] = verdict

    async def strip_output(self, seq: int) -> None:
        entry = self.entries[seq]
        bare = replace(entry.report, output=None, error=None)
        self.entries[seq] = replace(entry, report=bare, without_output=True)

    async def set_aside(self, seq: int, why: str) -> None:
        self.aside[seq] = why

    async def wait_pending(self) -> None:
        while not self._to_send():
            self._changed.clear()
            await self._changed.wait()


@dataclass(kw_only=True)
class FakeBoxPause:
    """`agent.ports.BoxPause`."""

    pause: Pause | None = None

    def read(self) -> Pause | None:
        return self.pause


@dataclass(kw_only=True)
class FakeNotes:
    """`agent.ports.Notes`."""

    values: dict[str, str] = field(default_factory=dict)
    broken: bool = False

    async def get(self, key: str) -> str | None:
        return self.values.get(key)

    async def put(self, key: str, value: str) -> None:
        if self.broken:
            raise StateError("the disk is full")
        self.values[key] = value
