"""From decoded changes to frames: asks Postgres once per batch who may see what, then queues it to each channel.

Subscribers with the same role, claims, filters and columns are one audience: they are asked about once. An audience
whose filters certainly do not hold is not asked about at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

import structlog

from agent.localstack.realtime.bindings import PATTERNS, Binding, Filter
from agent.localstack.realtime.database import Database, Payload, TooSlow
from agent.localstack.realtime.frames import ordered
from agent.localstack.realtime.hub import Hub, Listener
from agent.localstack.realtime.pgoutput import Change, Relation
from agent.localstack.realtime.replay import is_messages, written
from agent.model.value import Json

BATCH = 64
"""Changes per call: enough to make a bulk insert cheap, few enough that the first is not kept waiting."""
PATTERN_MS = 1000
"""How long the regular expressions of all subscribers may take over a batch."""
_TEXT = 25
"""Type oid of `text`: two are equal where their characters are."""
_HOLDS_FOR_NULL = frozenset({"is", "isdistinct"})
_LOG = structlog.get_logger()


@dataclass(kw_only=True)
class _Audiences:
    """Who listens to one table and action, grouped."""

    described: list[dict[str, Json]] = field(default_factory=list)
    members: list[list[tuple[Listener, Binding]]] = field(default_factory=list)

    @classmethod
    def of(cls, listeners: Iterable[tuple[Listener, Binding]]) -> _Audiences:
        groups: dict[object, list[tuple[Listener, Binding]]] = defaultdict(list)
        for channel, binding in listeners:
            identity = channel.identity
            groups[identity.role, identity.claims_text, binding.filters, binding.select].append((channel, binding))
        audiences = cls()
        for nth, members in enumerate(groups.values()):
            channel, binding = members[0]
            audiences.members.append(members)
            audiences.described.append(
                {
                    "nth": nth,
                    "role": channel.identity.role,
                    "claims": channel.identity.claims_text,
                    "filters": [each.as_json() for each in binding.filters],
                    "select": None if binding.select is None else list(binding.select),
                }
            )
        return audiences


class FanOut:
    """Delivers changes in the order of their commits."""

    def __init__(self, hub: Hub, database: Database) -> None:
        self._hub = hub
        self._database = database
        self._tellable: dict[tuple[int, str], tuple[Relation, bool]] = {}

    async def deliver(self, changes: Sequence[Change]) -> None:
        """Returns when every frame is queued (not yet sent)."""
        for (relation, action), group in groupby(changes, key=lambda change: (change.relation, change.action)):
            batch = list(group)
            if is_messages(relation):
                self._announce(batch)
                continue
            for start in range(0, len(batch), BATCH):
                await self._deliver_batch(batch[start : start + BATCH], relation, action)

    def _announce(self, rows: Sequence[Change]) -> None:
        """Broadcasts written from SQL. Who may hear them was decided when they joined."""
        for row in rows:
            message = written(row.new)
            if message is not None:
                announcement, private = message
                self._hub.announce(announcement, private=private)

    async def _deliver_batch(self, batch: Sequence[Change], relation: Relation, action: str) -> None:
        """Those with regular expressions come last, and do not keep the others waiting for long."""
        listeners = list(self._hub.listeners(relation.schema, relation.table, action))
        slow = {channel for channel, binding in listeners if any(each.op in PATTERNS for each in binding.filters)}
        await self._tell(batch, _Audiences.of(each for each in listeners if each[0] not in slow))
        try:
            await self._tell(batch, _Audiences.of(each for each in listeners if each[0] in slow), within_ms=PATTERN_MS)
        except TooSlow:
            _LOG.warning("filters took too long; their channels are closed", table=relation.table, channels=len(slow))
            for channel in slow:
                channel.end("The filters of this channel take too long")

    async def _tell(self, batch: Sequence[Change], audiences: _Audiences, *, within_ms: int | None = None) -> None:
        if not audiences.members:
            return
        concerned = [await self._concerned(change, audiences) for change in batch]
        changes = [change for change, nths in zip(batch, concerned, strict=True) if nths]
        if not changes:
            return
        told = [nths for nths in concerned if nths]
        for payload in await self._database.fan_out(changes, told, audiences.described, within_ms=within_ms):
            data = change_data(changes[payload.change], payload)
            ids: dict[Listener, list[int]] = defaultdict(list)
            for nth in sorted(payload.audiences):
                for channel, binding in audiences.members[nth]:
                    ids[channel].append(binding.id)
            for channel, matched in ids.items():
                channel.send_change(data, matched)

    async def _concerned(self, change: Change, audiences: _Audiences) -> list[int]:
        """Those whose filters may hold. Who may not read the key is told of every change that it is not for him."""
        return [
            nth
            for nth, members in enumerate(audiences.members)
            if not _certainly_hidden(change, members[0][1].filters)
            or not await self._may_tell(change.relation, members[0][0].identity.role)
        ]

    async def _may_tell(self, relation: Relation, role: str) -> bool:
        """Whether the role can read the table's key; asked again for each description of the table.

        Postgres sends a new one after every change of the table and of the rights to it.
        """
        known = self._tellable.get((relation.oid, role))
        if known is None or known[0] is not relation:
            known = (relation, await self._database.may_tell(relation.oid, role))
            self._tellable[relation.oid, role] = known
        return known[1]


def _certainly_hidden(change: Change, filters: Sequence[Filter]) -> bool:
    """Whether one of the filters cannot hold, as far as that can be said without knowing Postgres' types."""
    if change.action == "DELETE":
        return False
    types = {column.name: column.type_oid for column in change.relation.columns}
    for each in filters:
        value = change.new.get(each.column, "")
        if value is None and each.op not in _HOLDS_FOR_NULL:
            return True
        known = each.column in change.new and types.get(each.column) == _TEXT
        if known and each.op == "eq" and (value == each.value) is each.negate:
            return True
    return False


def change_data(change: Change, payload: Payload) -> str:
    """The `data` of a `postgres_changes` frame, keys in the genuine order for each kind of change."""
    refused = payload.columns == "[]" and bool(payload.errors)
    parts = {
        "table": ordered(change.relation.table),
        "type": ordered(change.action),
        "record": payload.record,
        "columns": payload.columns,
        "errors": ordered(payload.errors),
        "schema": ordered(change.relation.schema),
        "commit_timestamp": "null" if refused else ordered(_milliseconds(change.committed_at)),
        "old_record": payload.old_record,
    }
    if change.action == "INSERT":
        del parts["old_record"]
    elif change.action == "DELETE":
        del parts["record"]
    return "{" + ",".join(f'"{key}":{value}' for key, value in parts.items()) + "}"


def _milliseconds(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03d}Z"
