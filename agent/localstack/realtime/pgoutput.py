"""Decodes PostgreSQL's `pgoutput` logical replication messages, protocol version 1, into changes.

Pure: bytes in, values out. https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

Action = Literal["INSERT", "UPDATE", "DELETE"]
Row = dict[str, str | None]
"""Values as Postgres writes them. A column whose large value an UPDATE did not touch is absent."""

MAX_RECORD_BYTES = 1024 * 1024
"""A change larger than this loses its large fields (what hosted Realtime does: error 413)."""
FIELD_OVERHEAD_BYTES = 60
"""What hosted Realtime's JSON of a change spends on each field beside its name and value; measured by counting."""

_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_NUMBERS_WITHOUT_JSON = frozenset({"NaN", "Infinity", "-Infinity"})
_FLOATING_TYPES = frozenset({700, 701, 1700})


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a relation message."""

    name: str
    type_oid: int
    identity: bool
    """Part of the replica identity."""


@dataclass(frozen=True, kw_only=True)
class Relation:
    """A table as it was when the change was made."""

    oid: int
    schema: str
    table: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One row inserted, updated or deleted by a committed transaction."""

    action: Action
    relation: Relation
    new: Row
    """Empty for a DELETE."""
    old: Row
    """The replica identity before the change (of an UPDATE that left it alone: as it is); empty for an INSERT."""
    xid: int
    """32 bits, without epoch."""
    committed_at: datetime

    @property
    def oversized(self) -> bool:
        """Whether the change is larger than what is sent whole."""
        rows = (*self.new.items(), *self.old.items())
        size = sum(len(name) + len((value or "").encode()) + FIELD_OVERHEAD_BYTES for name, value in rows)
        return size > MAX_RECORD_BYTES


@dataclass(kw_only=True)
class Decoder:
    """Remembers what messages refer to: relations and the transaction they come in. One per replication stream."""

    wanted: Callable[[Relation], bool] = lambda _: True
    """Whether anybody wants to hear of changes of a table: others are not decoded."""
    relations: dict[int, Relation] = field(default_factory=dict)
    _xid: int = 0
    _committed_at: datetime = _POSTGRES_EPOCH

    def decode(self, message: bytes) -> Change | None:
        """The change of this message, or None for one that only informs. ValueError when it makes no sense."""
        cursor = _Cursor(message)
        kind = cursor.letter()
        try:
            if kind == "B":
                self._begin(cursor)
            elif kind == "R":
                self._learn(cursor)
            elif kind in "IUD":
                return self._change(kind, cursor)
        except (IndexError, KeyError, struct.error, UnicodeDecodeError) as err:
            raise ValueError(f"replication message {kind!r} cannot be read: {err}") from err
        return None

    def _begin(self, cursor: _Cursor) -> None:
        cursor.integer(8)  # position of the commit
        self._committed_at = _POSTGRES_EPOCH + timedelta(microseconds=cursor.integer(8))
        self._xid = cursor.integer(4)

    def _learn(self, cursor: _Cursor) -> None:
        oid, schema, table = cursor.integer(4), cursor.string(), cursor.string()
        cursor.letter()  # replica identity setting: the columns' flags say what it means
        columns = []
        for _ in range(cursor.integer(2)):
            identity, name, type_oid = cursor.integer(1) == 1, cursor.string(), cursor.integer(4)
            cursor.integer(4)  # type modifier
            columns.append(Column(name=name, type_oid=type_oid, identity=identity))
        relation = Relation(oid=oid, schema=schema or "pg_catalog", table=table, columns=tuple(columns))
        self.relations[oid] = relation

    def _change(self, kind: str, cursor: _Cursor) -> Change | None:
        relation = self.relations[cursor.integer(4)]
        if not self.wanted(relation):
            return None
        rows: dict[str, Row] = {}
        while not cursor.done:
            part = cursor.letter()
            rows[part] = _row(cursor, relation)
        new = rows.get("N", {})
        old = rows.get("O", rows.get("K", new if kind == "U" else {}))
        if "O" not in rows:
            identity = {column.name for column in relation.columns if column.identity}
            old = {name: value for name, value in old.items() if name in identity}
        actions: dict[str, Action] = {"I": "INSERT", "U": "UPDATE", "D": "DELETE"}
        return Change(
            action=actions[kind],
            relation=relation,
            new=new,
            old=old,
            xid=self._xid,
            committed_at=self._committed_at,
        )


def _row(cursor: _Cursor, relation: Relation) -> Row:
    row: Row = {}
    cursor.integer(2)  # as many as the relation has columns
    for column in relation.columns:
        state = cursor.letter()
        if state == "t":
            text = cursor.text(cursor.integer(4))
            special = column.type_oid in _FLOATING_TYPES and text in _NUMBERS_WITHOUT_JSON
            row[column.name] = None if special else text
        elif state == "n":
            row[column.name] = None
        elif state != "u":
            raise ValueError(f"column {column.name!r} of {relation.table!r} came in the unknown form {state!r}")
    return row


class _Cursor:
    """Reads a message from front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at >= len(self._data)

    def letter(self) -> str:
        self._at += 1
        return chr(self._data[self._at - 1])

    def integer(self, size: Literal[1, 2, 4, 8]) -> int:
        (value,) = struct.unpack_from({1: ">B", 2: ">H", 4: ">I", 8: ">q"}[size], self._data, self._at)
        self._at += size
        return int(value)

    def string(self) -> str:
        end = self._data.index(b"\0", self._at)
        text = self._data[self._at : end].decode()
        self._at = end + 1
        return text

    def text(self, length: int) -> str:
        if self._at + length > len(self._data):
            raise IndexError("it ends in the middle of a value")
        text = self._data[self._at : self._at + length].decode()
        self._at += length
        return text
