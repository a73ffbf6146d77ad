"""The Realtime server's ordinary connections to Postgres: installing functions, checking bindings, fanning out.

What clients sent travels as parameters only; see functions.sql.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, TypeVar

import psycopg
import structlog
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from agent.errors import StackError
from agent.localstack.connected import connected
from agent.localstack.realtime.bindings import Binding
from agent.localstack.realtime.pgoutput import Change
from agent.model.value import Json

PUBLICATION = "supabase_realtime"
MESSAGES_PUBLICATION = "supabase_realtime_messages_publication"
CONNECT_S = 10
POLICY_S = 10
"""A connection of the client waits for its policies: for so long."""
RECONNECT_S = 2.0
"""psycopg_pool gives an attempt up after this long, and tries again when the next connection is wanted."""
_LOG = structlog.get_logger()
T = TypeVar("T")

_SETTINGS = """
set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'; set statement_timeout = '15s';
set application_name = 'cronmirror realtime'
"""
_CHECK = "select realtime_local.check_binding(%s, %s, %s, %s::jsonb, %s::text[])"
_MAY_TELL = "select realtime_local.may_tell(%s, %s)"
_MESSAGES = """
select id, event, payload::text, binary_payload from realtime.messages
where topic = %s and private and extension = 'broadcast' and inserted_at >= to_timestamp(%s / 1000.0) at time zone 'UTC'
order by inserted_at desc limit %s
"""
_PRUNE = "delete from realtime.messages where inserted_at < now() - interval '72 hours'"
_FAN_OUT = "select * from realtime_local.fan_out(%s, %s, %s::jsonb, %s::jsonb, %s::jsonb)"


class TooSlow(Exception):
    """The subscribers' filters take longer than they were given."""


class SubscriptionRefused(Exception):
    """Postgres knows no such table or column, or refuses the filter; the message is sent to the client."""


@dataclass(frozen=True, kw_only=True)
class Payload:
    """What one change means to some audiences. `record`, `columns` and `old_record` are JSON texts."""

    change: int
    """Index in the batch."""
    audiences: list[int]
    record: str
    columns: str
    old_record: str
    errors: list[str] | None


class Database:
    """A few connections that outlive restarts of Postgres: a broken one is replaced when it is next needed.

    Fanning out has one to itself, so that joining clients, however many, cannot keep changes waiting; and no pool,
    for a pool pauses ever longer after an outage, while the feed is deaf.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._checks = _pool(dsn, "realtime checks", size=2)
        self._changes: psycopg.AsyncConnection[Any] | None = None

    async def open(self) -> None:
        """Connect and install the functions. StackError when Postgres cannot be used for a change feed."""
        ours = resources.files(__package__)
        scripts = [ours.joinpath(name).read_text("utf-8") for name in ("functions.sql", "messages.sql")]
        try:
            async with connected(self._dsn, connect_timeout=CONNECT_S) as connection:
                await _require_logical_wal(connection)
                await connection.execute("select pg_advisory_xact_lock(hashtext('realtime_local'))")
                for script in scripts:
                    await connection.execute(script.encode())
        except psycopg.Error as err:
            raise StackError(
                f"the Realtime server cannot use Postgres: {str(err).strip()}",
                hint="It needs a reachable database and a superuser.",
            ) from err
        # Waited for: a task that is cancelled while it waits for a pool's first connection leaves it open for ever.
        await self._checks.open(wait=True, timeout=CONNECT_S)

    async def close(self) -> None:
        """Close every connection."""
        await self._checks.close()
        await self._forget_changes()

    async def check(self, role: str, bindings: Sequence[Binding]) -> None:
        """Raise SubscriptionRefused for the first binding that cannot work; psycopg.OperationalError: try later."""
        async with self._checks.connection() as connection:
            for binding in bindings:
                filters = json.dumps([each.as_json() for each in binding.filters])
                select = None if binding.select is None else list(binding.select)
                try:
                    cursor = await connection.execute(_CHECK, (role, binding.schema, binding.table, filters, select))
                    found = await cursor.fetchone()
                except psycopg.OperationalError:
                    raise
                except psycopg.Error as err:
                    raise SubscriptionRefused(
                        "Unable to subscribe to changes with given parameters. An exception happened so please "
                        f"check your connect parameters: [{binding}]. Exception: {_exception(err)}"
                    ) from err
                if found == (0,):
                    raise SubscriptionRefused(
                        "Unable to subscribe to changes with given parameters. Please check Realtime is enabled "
                        f"for the given connect parameters: [{binding}]"
                    )

    async def ask_and_undo(self, query: str, parameters: Sequence[object]) -> tuple[Any, ...]:
        """The one row of a query whose traces are rolled back. psycopg.Error, TimeoutError."""
        async with (
            asyncio.timeout(POLICY_S),
            self._checks.connection() as connection,
            connection.transaction(force_rollback=True),
        ):
            found: tuple[Any, ...] | None = await (await connection.execute(query.encode(), parameters)).fetchone()
        if found is None:
            raise psycopg.DataError("a question to Postgres had no answer")
        return found

    async def messages(self, topic: str, since_ms: int, limit: int) -> list[tuple[Any, ...]]:
        """(id, event, payload, binary_payload) of the newest broadcasts of a private topic, the oldest first."""
        async with self._checks.connection() as connection:
            cursor = await connection.execute(_MESSAGES, (topic, since_ms, limit))
            return (await cursor.fetchall())[::-1]

    async def prune(self) -> None:
        """Forget broadcasts that are older than what can be asked for again."""
        async with self._checks.connection() as connection:
            await connection.execute(_PRUNE)

    async def fan_out(
        self,
        changes: Sequence[Change],
        concerned: Sequence[Sequence[int]],
        audiences: Sequence[Mapping[str, Json]],
        *,
        within_ms: int | None = None,
    ) -> list[Payload]:
        """What to send to whom, of those audiences whom each change concerns; one round trip. One call at a time.

        All changes are of one table and kind. Payloads come in the order of the changes. A batch that fails is logged
        and lost. Raises psycopg.OperationalError when Postgres itself is gone; TooSlow after `within_ms`.
        """
        rows: dict[int, list[Json]] = defaultdict(list)
        for nth, to in enumerate(concerned):
            for audience in to:
                rows[audience].append(nth)
        asked = [{**audience, "rows": rows[nth]} for nth, audience in enumerate(audiences) if nth in rows]
        relation = changes[0].relation
        types = {column.name: str(column.type_oid) for column in relation.columns}
        described = [_change(change) for change in changes]
        parameters = (relation.oid, changes[0].action, *(json.dumps(each) for each in (types, described, asked)))
        try:
            payloads = await self._ask_again(lambda connection: _ask(connection, parameters, within_ms))
        except psycopg.Error as err:
            if _is_gone(err):
                await self._forget_changes()
                raise
            if within_ms is not None and isinstance(err, psycopg.errors.QueryCanceled):
                raise TooSlow from err
            table = relation.table
            _LOG.warning("changes were not delivered", table=table, changes=len(changes), error=str(err).strip())
            return []
        return sorted(payloads, key=lambda payload: payload.change)

    async def may_tell(self, relation_oid: int, role: str) -> bool:
        """Whether the table has a primary key and the role may read it; otherwise every change is an error to tell.

        Raises psycopg.OperationalError when Postgres itself is gone.
        """

        async def ask(connection: psycopg.AsyncConnection[Any]) -> bool:
            found = await (await connection.execute(_MAY_TELL, (relation_oid, role))).fetchone()
            return found == (True,)

        return await self._ask_again(ask)

    async def _ask_again(self, ask: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T:
        """A connection from before a restart is replaced once; the question changes nothing."""
        if self._changes is not None:
            try:
                return await ask(self._changes)
            except psycopg.Error as err:
                if not _is_gone(err):
                    raise
                await self._forget_changes()
        self._changes = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True, connect_timeout=CONNECT_S)
        await _configure(self._changes)
        return await ask(self._changes)

    async def _forget_changes(self) -> None:
        connection, self._changes = self._changes, None
        if connection is not None:
            await connection.close()


async def _ask(
    connection: psycopg.AsyncConnection[Any], parameters: tuple[object, ...], within_ms: int | None
) -> list[Payload]:
    async with connection.cursor(row_factory=class_row(Payload)) as cursor:
        if within_ms is None:
            await cursor.execute(_FAN_OUT, parameters)
            return await cursor.fetchall()
        async with connection.transaction():
            await connection.execute("select set_config('statement_timeout', %s, true)", (str(within_ms),))
            await cursor.execute(_FAN_OUT, parameters)
            return await cursor.fetchall()


def _is_gone(err: psycopg.Error) -> bool:
    """No connection (08…), or the server stops, has crashed or is starting (57P…); without a state it is libpq's."""
    return isinstance(err, psycopg.OperationalError) and (err.sqlstate or "08").startswith(("08", "57P"))


def _pool(dsn: str, name: str, *, size: int) -> AsyncConnectionPool[psycopg.AsyncConnection[Any]]:
    return AsyncConnectionPool(
        dsn,
        min_size=1,
        max_size=size,
        open=False,
        timeout=CONNECT_S,
        reconnect_timeout=RECONNECT_S,
        name=name,
        kwargs={"autocommit": True},
        configure=_configure,
        check=AsyncConnectionPool.check_connection,
    )


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    connection.add_notice_handler(_notice)
    await connection.execute(_SETTINGS.encode())


def _notice(diagnostic: psycopg.errors.Diagnostic) -> None:
    if diagnostic.severity_nonlocalized == "WARNING":
        _LOG.warning("Postgres could not tell a change to somebody", reason=diagnostic.message_primary)


async def _require_logical_wal(connection: psycopg.AsyncConnection[Any]) -> None:
    cursor = await connection.execute("select current_setting('wal_level')")
    level = await cursor.fetchone()
    if level != ("logical",):
        raise StackError(
            f"Postgres runs with wal_level={level}: the change feed needs wal_level=logical",
            hint="Set `wal_level = logical` in postgresql.conf and restart Postgres.",
        )


def _change(change: Change) -> Json:
    return {"xid": change.xid, "new": change.new, "old": change.old, "oversized": change.oversized}


def _exception(err: psycopg.Error) -> str:
    """`ERROR P0001 (raise_exception) invalid column for filter x`, as the genuine server's driver says it."""
    condition = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(err).__name__).lower()
    message = err.diag.message_primary or str(err)
    return f"ERROR {err.sqlstate or 'XX000'} ({condition}) {message}"
