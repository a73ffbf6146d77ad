"""Broadcasts that come from rows of `realtime.messages`: as they are written, and as they are asked for again."""

from __future__ import annotations

from agent.localstack.realtime.database import Database
from agent.localstack.realtime.frames import Announcement, UserBroadcast, ordered
from agent.localstack.realtime.joins import Replay
from agent.localstack.realtime.pgoutput import Relation, Row

_PREFIX = "realtime:"


def is_messages(relation: Relation) -> bool:
    """Whether rows of this table are broadcasts."""
    return (relation.schema, relation.table) == ("realtime", "messages")


def written(row: Row) -> tuple[Announcement, bool] | None:
    """What a new row says, and whether on the private topic; None for one that is no message."""
    topic, event, found, payload, binary = (
        row.get(name) for name in ("topic", "event", "id", "payload", "binary_payload")
    )
    if topic is None or event is None or found is None or (payload is None and binary is None):
        return None
    data = None if binary is None else bytes.fromhex(binary.removeprefix("\\x"))
    return _announcement(_PREFIX + topic, found, event, payload, data, replayed=False), row.get("private") == "t"


async def replayed(database: Database, topic: str, wanted: Replay) -> tuple[list[Announcement], frozenset[str]]:
    """The broadcasts of before, and their ids. psycopg.Error, TimeoutError."""
    rows = await database.messages(topic.removeprefix(_PREFIX), wanted.since_ms, wanted.limit)
    found = [_announcement(topic, str(row[0]), row[1] or "", row[2], row[3], replayed=True) for row in rows]
    return found, frozenset(str(row[0]) for row in rows)


def _announcement(
    topic: str, row_id: str, event: str, payload: str | None, data: bytes | None, *, replayed: bool
) -> Announcement:
    meta = ordered({"id": row_id, "replayed": True} if replayed else {"id": row_id})
    if data is not None:
        binary = UserBroadcast(event=event, is_json=False, payload=data, metadata=meta)
        return Announcement(topic=topic, event="broadcast", body=binary, id=row_id)
    body = f'{{"event":{ordered(event)},"meta":{meta},"payload":{payload},"type":"broadcast"}}'
    return Announcement(topic=topic, event="broadcast", body=body, id=row_id)
