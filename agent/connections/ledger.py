"""How the agent stands with each connection: in memory to answer at once, on disk for others and the next life.

Whoever changes a standing on disk, this process or another one (`cronmirror connections login`), it is heard of here
once: `told` gets what was known before and what holds now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from agent.connections.policy import after_success, alert_of, unknown
from agent.errors import StateError
from agent.model import Change, Connection, Standing, Thresholds, Tokens
from agent.ports import ChangeListener, Clock, Connections, ConnectionStore

log = structlog.get_logger()


class Ledger:
    """Standings of the connections of the configuration in force."""

    def __init__(
        self,
        store: ConnectionStore,
        connections: Connections,
        clock: Clock,
        *,
        thresholds: Callable[[], Thresholds],
        told: ChangeListener,
    ) -> None:
        self._store = store
        self._connections = connections
        self._clock = clock
        self._thresholds = thresholds
        self._told = told
        self._known: dict[str, Standing] = {}
        self._unsaved: set[str] = set()
        """The disk did not take these: ours are newer than its."""
        self._used_at: dict[str, datetime] = {}
        self._revision = 0
        self._changed = asyncio.Event()

    def get(self, connection: Connection) -> Standing:
        """As known now."""
        return self._known.get(connection.connection_id) or unknown(connection)

    def all(self) -> Sequence[Standing]:
        """Of every connection, in file order."""
        return [self.get(connection) for connection in self._connections.all()]

    async def next_change(self, revision: int) -> int:
        """The new revision as soon as it is another one."""
        while self._revision == revision:
            await self._changed.wait()
        return self._revision

    async def read(self, connection: Connection, tokens: Tokens | None) -> Standing:
        """What holds by the disk, where `tokens` are what is stored; it is taken over. Raises `StateError`.

        Tokens newer than the standing are of a life that was killed between writing the two.
        """
        name = connection.connection_id
        if name in self._unsaved:
            await self.put(self._known[name])
            return self._known[name]
        found = await self._store.standing(name) or unknown(connection)
        found = replace(found, provider=connection.provider)
        if tokens is not None and (found.last_refresh_at is None or tokens.obtained_at > found.last_refresh_at):
            found = after_success(found, tokens)
            await self.put(found)
        self._take(found)
        return found

    async def put(self, standing: Standing) -> None:
        """It stands so now. Where the disk does not take it, it holds here, and is written with the next look."""
        name = standing.connection_id
        try:
            await self._store.keep_standing(standing)
        except StateError as err:
            self._unsaved.add(name)
            log.warning("how a connection stands cannot be written down", connection=name, error=str(err))
        else:
            self._unsaved.discard(name)
        self._take(standing)

    def used(self, connection: Connection) -> None:
        """A run got its token."""
        self._used_at[connection.connection_id] = self._clock.now()

    def used_at(self, connection: Connection) -> datetime | None:
        """When one last did, in this life."""
        return self._used_at.get(connection.connection_id)

    def _take(self, standing: Standing) -> None:
        before = self._known.get(standing.connection_id)
        if before == standing:
            return
        self._known[standing.connection_id] = standing
        self._revision += 1
        self._changed.set()
        self._changed = asyncio.Event()
        if before is not None:  # what held before we looked is no news
            alert = alert_of(before, standing, self._thresholds())
            self._told(Change(before=before, after=standing, at=self._clock.now(), alert=alert))
