"""Who is asked about at all: a change whose filters certainly do not hold costs no question to Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from agent.localstack.realtime.bindings import Binding, parse_binding
from agent.localstack.realtime.database import Database, Payload
from agent.localstack.realtime.fanout import FanOut
from agent.localstack.realtime.frames import Announcement
from agent.localstack.realtime.hub import Hub
from agent.localstack.realtime.identity import Identity
from agent.localstack.realtime.pgoutput import Change, Column, Relation
from tests.localstack.realtime.conftest import Stack
from tests.localstack.realtime.test_changes import on

INT, TEXT = 23, 25


def relation() -> Relation:
    columns = [
        Column(name=name, type_oid=oid, identity=name == "id")
        for name, oid in (("id", INT), ("status", TEXT), ("cancelled_at", 1184), ("size", INT))
    ]
    return Relation(oid=7, schema="public", table="requests", columns=tuple(columns))


REQUESTS = relation()


class Ear:
    """A channel that notes what it is told."""

    address = ("realtime:x", False)
    identity = Identity(token="", role="authenticated", claims={}, expires_at=None)

    def __init__(self, *filters: str) -> None:
        asked = [{"event": "*", "schema": "public", "table": "requests", "filter": each} for each in filters]
        self.bindings: tuple[Binding, ...] = tuple(parse_binding(each) for each in asked)
        self.told: list[list[int]] = []

    def send_change(self, data: str, ids: list[int]) -> None:
        self.told.append(ids)

    def end(self, message: str) -> None:
        raise AssertionError(message)

    def hear(self, announcement: Announcement) -> None:
        raise AssertionError("nobody broadcasts here")


class Postgres:
    """Tells everybody it is asked about; notes about whom it was asked."""

    def __init__(self, *, may_tell: bool = True) -> None:
        self.asked: list[list[int]] = []
        self.keys_asked = 0
        self._may_tell = may_tell

    async def may_tell(self, _relation: int, _role: str) -> bool:
        self.keys_asked += 1
        return self._may_tell

    async def fan_out(
        self, changes: Sequence[Change], concerned: Sequence[Sequence[int]], _audiences: Sequence[Any], **_: Any
    ) -> list[Payload]:
        self.asked += [list(each) for each in concerned]
        said = {"record": "{}", "columns": "[]", "old_record": "{}", "errors": None}
        return [Payload(change=nth, audiences=list(to), **said) for nth, to in enumerate(concerned)]  # type: ignore[arg-type]


def change(action: Any = "UPDATE", table: Relation = REQUESTS, **row: str | None) -> Change:
    whole = {"id": "1", "status": "running", "cancelled_at": None, "size": "5", **row}
    return Change(action=action, relation=table, new=whole, old={}, xid=1, committed_at=datetime.now(UTC))


async def tell(postgres: Postgres, ear: Ear, *changes: Change) -> None:
    hub = Hub()
    hub.bind(ear)
    await FanOut(hub, cast("Database", postgres)).deliver(changes)


@pytest.mark.parametrize(
    ("asked_for", "row"),
    [
        ("status=eq.queued", {"status": "done"}),
        ("status=not.eq.done", {"status": "done"}),
        ("status=eq.queued", {"status": None}),
        ("cancelled_at=gt.1970-01-01", {"cancelled_at": None}),
        ("cancelled_at=not.gt.1970-01-01", {"cancelled_at": None}),
    ],
)
async def test_a_filter_that_cannot_hold_costs_no_question(asked_for: str, row: dict[str, Any]) -> None:
    postgres, ear = Postgres(), Ear(asked_for)
    await tell(postgres, ear, change(**row), change(**row))
    assert (postgres.asked, ear.told, postgres.keys_asked) == ([], [], 1)


@pytest.mark.parametrize(
    ("asked_for", "row"),
    [
        ("status=eq.queued", {"status": "queued"}),
        ("status=not.eq.done", {"status": "queued"}),
        ("cancelled_at=gt.1970-01-01", {"cancelled_at": "2026-01-01 00:00:00+00"}),
        ("cancelled_at=is.null", {"cancelled_at": None}),
        ("cancelled_at=isdistinct.2026-01-01", {"cancelled_at": None}),
        ("size=eq.05", {"size": "5"}),
    ],
)
async def test_what_may_hold_is_left_to_postgres(asked_for: str, row: dict[str, Any]) -> None:
    postgres, ear = Postgres(), Ear(asked_for)
    await tell(postgres, ear, change(**row))
    assert postgres.asked == [[0]]
    assert ear.told == [[ear.bindings[0].id]]


async def test_each_change_is_asked_about_for_those_whom_it_may_concern() -> None:
    postgres, ear = Postgres(), Ear("status=eq.queued", "status=eq.done")
    await tell(postgres, ear, change(status="done"), change(status="running"), change(status="queued"))
    assert postgres.asked == [[1], [0]]
    assert ear.told == [[ear.bindings[1].id], [ear.bindings[0].id]]


async def test_a_deletion_has_no_row_to_filter_by() -> None:
    postgres = Postgres()
    await tell(postgres, Ear("status=eq.queued"), change("DELETE"))
    assert postgres.asked == [[0]]


async def test_a_description_that_came_anew_is_asked_about_anew() -> None:
    postgres = Postgres()
    await tell(postgres, Ear("status=eq.queued"), change(), change(table=relation()))
    assert postgres.keys_asked == 2


@pytest.mark.asyncio(loop_scope="session")
async def test_who_may_not_read_the_key_hears_that_of_every_change(own_stack: Stack) -> None:
    client = await own_stack.client()
    await client.subscribe("realtime:m", on("memos", filter="body=eq.mine"), token=own_stack.token())
    witness = await own_stack.client()  # hears of a change when it has been judged for everybody
    await witness.subscribe("realtime:w", on("memos"), token=own_stack.keys.mint({"role": "service_role"}, 3600))
    await own_stack.sql("insert into memos values (1, 'other')")
    await witness.change()
    await own_stack.sql("revoke select on memos from authenticated; grant select (body) on memos to authenticated")
    await own_stack.sql("insert into memos values (2, 'other')")
    assert (await client.change())["errors"] == ["Error 401: Unauthorized"]
    await own_stack.sql("grant select on memos to authenticated")
    await own_stack.sql("insert into memos values (3, 'other'), (4, 'mine')")
    assert (await client.change())["record"] == {"id": 4, "body": "mine"}
