"""The routes of `/rest/v1`: from a request to a statement and back. What PostgREST has beyond that is refused."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import TypeVar

import psycopg
from psycopg_pool import PoolTimeout
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from agent.localstack.access import Caller, rest_caller
from agent.localstack.keys import Keys
from agent.localstack.pgerrors import from_database, refusal, unavailable
from agent.localstack.pool import NoDatabase, Pool
from agent.localstack.refusal import Refusal, not_implemented
from agent.localstack.rest import calling, payload, reading, writing
from agent.localstack.rest.answers import (
    Shown,
    check_affected,
    check_single,
    delete_answer,
    insert_answer,
    rows_answer,
    update_answer,
    void_answer,
)
from agent.localstack.rest.catalog import Function, SchemaCache, Table
from agent.localstack.rest.heads import Head, Heads
from agent.localstack.rest.hints import nearest
from agent.localstack.rest.levels import Level, arrange
from agent.localstack.rest.parameters import Address, intersect, parse_query
from agent.localstack.rest.plans import Plans, Shape, shape_of, whole
from agent.localstack.rest.preferences import Preferences
from agent.localstack.rest.session import Check, Context, Result, Session, configuration
from agent.localstack.rest.sql import Source, source_of
from agent.localstack.rest.syntax import Query
from agent.localstack.rest.wire import Statement

Made = TypeVar("Made")
Read = tuple[Level, Source, Address]
Called = tuple[Function, Level, Shown]
EMPTY = parse_query(())
MAX_PARAMETERS = 200
PREFIX = "/rest/v1"
PLANNERS = {"planned", "estimated"}
"""Ways to count that ask Postgres' planner."""
READS = {"GET", "HEAD"}
STALE = {"42703", "42704", "PGRST200", "PGRST202", "PGRST204", "PGRST205"}
"""What a schema cache that is behind would say, too."""


class Asked:
    """A request, and who asks."""

    __slots__ = ("caller", "claims", "head", "method", "path", "query_string", "receive")

    def __init__(self, scope: Scope, receive: Receive, head: Head, caller: Caller, claims: str) -> None:
        self.receive = receive
        self.head = head
        self.caller = caller
        self.claims = claims
        """The caller's, as JSON."""
        self.method: str = scope["method"]
        self.path: str = scope["path"].removeprefix(PREFIX)
        """From the slash after the prefix on."""
        self.query_string: str = scope["query_string"].decode("ascii", "replace")

    def shape(self, *, wholly: bool = False) -> Shape:
        """The query string's; `wholly`: with every value in it."""
        if self.query_string.count("&") >= MAX_PARAMETERS:
            raise refusal(400, "PGRST_LOCAL", f"more than {MAX_PARAMETERS} query parameters")
        return whole(self.query_string) if wholly else shape_of(self.query_string)

    def shown(self) -> Shown:
        """What `Accept` and `Prefer` ask for."""
        return self.head.shown(self.method)


class Rest:
    """The routes of `/rest/v1` over a pool of `authenticator`. `leeway_s`: PostgREST's skew on token times."""

    def __init__(self, pool: Pool, cache: SchemaCache, keys: Keys, *, leeway_s: float) -> None:
        self._session = Session(pool, cache)
        self._cache = cache
        self._keys = keys
        self._leeway_s = leeway_s
        self._heads = Heads()
        self._reads: Plans[Read] = Plans()
        self._writes: Plans[Table] = Plans()
        self._calls: Plans[Called] = Plans()

    async def stop(self) -> None:
        """Nobody asks any more."""
        await self._session.stop()

    def head(self, scope: Scope) -> Head:
        """What the headers of a request say."""
        return self._heads.of(scope)

    async def answer(self, scope: Scope, receive: Receive, head: Head) -> Response:
        """To a request below `/rest/v1/`. Refusal, or ClientDisconnect."""
        leeway_s = self._leeway_s
        known = head.known_caller()
        if known is None:
            known = head.caller(rest_caller(Request(scope, receive), self._keys, leeway_s=leeway_s), leeway_s)
        asked = Asked(scope, receive, head, *known)
        first, _, second = asked.path[1:].partition("/")
        try:
            if not second and first and asked.path[-1] != "/":
                return await self._table(asked, first)
            if first == "rpc" and second and "/" not in second:
                return await self._rpc(asked, second)
            raise _nowhere(asked.path)
        except NoDatabase as err:
            raise unavailable(str(err)) from err
        except PoolTimeout as err:
            message = "Timed out acquiring connection from connection pool."
            raise refusal(504, "PGRST003", message) from err
        except psycopg.Error as err:
            raise from_database(err, authed=asked.caller.authed) from err

    # ── tables ────────────────────────────────────────────────────────────

    async def _table(self, asked: Asked, name: str) -> Response:
        if asked.method == "OPTIONS":
            await self._fresh(lambda: self._known(name))
            return _allowed("OPTIONS,GET,HEAD,POST,PATCH,DELETE")
        if asked.method in READS:
            return await self._read(asked, name)
        if asked.method == "PUT":
            raise not_implemented("PUT on a table (upsert with POST)")
        return await self._write(asked, name)

    def _known(self, name: str) -> Table:
        tables = self._cache.current.tables
        if name in tables:
            return tables[name]
        better = nearest(name, tables)
        hint = f"Perhaps you meant the table 'public.{better}'" if better else None
        raise refusal(404, "PGRST205", f"Could not find the table 'public.{name}' in the schema cache", hint=hint)

    async def _read(self, asked: Asked, name: str) -> Response:
        shown = asked.shown()
        counting, window = shown.preferences.count, asked.head.range if asked.method == "GET" else None
        # The conditions are asked about once more where planners count: no marks in them.
        shape = asked.shape(wholly=counting in PLANNERS)
        key = (name, shape.key, shown.key, shown.head, window)
        found = self._reads.find(key, shape.values, self._cache.current)
        if found is None:

            def select(values: Sequence[str]) -> tuple[Statement, Read]:
                level = _ranged(arrange(parse_query(shape.with_values(values))), window)
                source = source_of(self._known(name))
                counted, catalog = counting == "exact", self._cache.current
                made = reading.read(catalog, level, source, shown.media, counted=counted, body=not shown.head)
                return made, (level, source, Address(name, shape.fields(), shape.places))

            found = await self._planned(self._reads, key, shape.values, select)
        statement, (level, source, address) = found
        context = self._context(asked, shown.preferences, read_only=True)
        result = await self._session.run(context, statement, _check(shown))
        if counting in PLANNERS:
            result = await self._estimated(context, result, level, source, shown.preferences)
        return rows_answer(result, shown, offset=_offset(level), location=address.filled(shape.values))

    async def _estimated(
        self, context: Statement, result: Result, level: Level, source: Source, preferences: Preferences
    ) -> Result:
        """With the total that `count=planned` and `count=estimated` ask Postgres' planner for."""
        catalog, total = self._cache.current, 0
        if preferences.count == "estimated":
            some = reading.count(catalog, level, source, limit=reading.MAX_ROWS + 1)
            counted = Statement(reading.answering(some.text, None), some.values)
            total = (await self._session.run(context, counted)).rows
        if preferences.count == "planned" or total > reading.MAX_ROWS:
            planned = await self._session.planned_rows(context, reading.count(catalog, level, source))
            total = max(total, planned)
        return result._replace(total=total)

    async def _write(self, asked: Asked, name: str) -> Response:
        method, shown = asked.method, asked.shown()
        shape = asked.shape()
        query = parse_query(shape.pairs()) if shape.key else EMPTY
        rows = payload.Rows(text="", many=False, columns=())
        if method != "DELETE":
            body = await payload.read(asked.receive, asked.head.content_type, function=False)
            rows = payload.rows_of(body, query.columns)

        texts = [] if method == "DELETE" else [rows.text]
        values = [*texts, *shape.values]
        key = (method, name, shape.key, rows.many, rows.columns, shown.key)
        found = self._writes.find(key, values, self._cache.current)
        if found is None:

            def mutation(values: Sequence[str]) -> tuple[Statement, Table]:
                marked = parse_query(shape.with_values(values[len(texts) :]))
                write = writing.Write(
                    catalog=self._cache.current,
                    table=self._known(name),
                    query=marked,
                    level=arrange(marked, writes=True),
                    preferences=shown.preferences,
                    media=shown.media,
                )
                if method == "DELETE":
                    return writing.delete(write), write.table
                make = writing.insert if method == "POST" else writing.update
                return make(write, rows._replace(text=values[0])), write.table

            found = await self._planned(self._writes, key, values, mutation)
        statement, table = found
        context = self._context(asked, shown.preferences, read_only=False)
        result = await self._session.run(context, statement, _check(shown, writes=True))
        if method == "POST":
            return insert_answer(result, shown, table, conflict=bool(table.key or query.on_conflict))
        return update_answer(result, shown) if method == "PATCH" else delete_answer(result, shown)

    # ── functions ─────────────────────────────────────────────────────────

    async def _rpc(self, asked: Asked, name: str) -> Response:
        method = asked.method
        if method not in {"GET", "HEAD", "POST", "OPTIONS"}:
            raise refusal(405, "PGRST101", f"Cannot use the {method} method on RPC")
        if method == "OPTIONS":
            return _allowed("OPTIONS,GET,HEAD,POST")
        shown, shape = asked.shown(), asked.shape()
        window = asked.head.range if method == "GET" else None
        query = parse_query(shape.pairs(), arguments=method != "POST") if shape.key else EMPTY
        body = await payload.read(asked.receive, asked.head.content_type, function=True) if method == "POST" else None
        given = _given(query, body)
        kind = body.kind if body else None
        key = (name, given.names, kind, shape.key, shown.key)
        values = shape.values if body is None else (given.json or "", *shape.values)
        # What is read from a query string decides more than parameters.
        found = None if body is None else self._calls.find(key, values, self._cache.current)
        if found is None:

            def called(values: Sequence[str]) -> tuple[Statement, Called]:
                function = calling.choose(name, given.names, self._cache.current, kind=kind)
                _check_many(function, shown)
                arguments = given if body is None else _arguments(function, given._replace(json=values[0]), body)
                query = parse_query(shape.with_values(values[1:] if body else values), arguments=body is None)
                level = _ranged(arrange(query), window)
                call = calling.Call(
                    catalog=self._cache.current,
                    function=function,
                    arguments=arguments,
                    level=level,
                    media=shown.media,
                    body=not shown.head,
                    # Nobody plans what a function returns: it is counted.
                    counted=shown.preferences.count in {"exact", "estimated"},
                )
                return calling.call(call), (function, level, replace(shown, listed=function.returns_set))

            if body is None:
                found = await self._fresh(lambda: called(values))
            else:
                found = await self._planned(self._calls, key, values, called)
        statement, (function, level, shown_so) = found
        read_only = function.read_only or method != "POST"
        context = self._context(asked, shown.preferences, read_only=read_only, timeout=function.timeout)
        check = None if function.returns_void else _check(shown_so, writes=not read_only, many=function.returns_set)
        result = await self._session.run(context, statement, check)
        if function.returns_void:
            return void_answer(result, shown_so)
        return rows_answer(result, shown_so, offset=_offset(level))

    # ── running ───────────────────────────────────────────────────────────

    async def _fresh(self, make: Callable[[], Made]) -> Made:
        """What `make` makes of the schema cache; where that lacks something, of a fresh one."""
        try:
            return make()
        except Refusal as err:
            if err.body.get("code") not in STALE:
                raise
        await self._cache.look_again()
        return make()

    async def _planned(
        self,
        plans: Plans[Made],
        key: tuple[Hashable, ...],
        values: Sequence[str],
        make: Callable[[Sequence[str]], tuple[Statement, Made]],
    ) -> tuple[Statement, Made]:
        return await self._fresh(lambda: plans.statement(key, values, make, self._cache.current))

    def _context(
        self, asked: Asked, preferences: Preferences, *, read_only: bool, timeout: str | None = None
    ) -> Statement:
        """What Postgres is told before the statement; the same for the same head and path."""
        catalog, head = self._cache.current, asked.head
        key = (asked.claims, asked.method, asked.path, read_only, timeout)
        found = head.configured(key, catalog)
        if found is None:
            settings = dict(catalog.roles.get(asked.caller.role, {}))
            settings |= {"timezone": preferences.timezone} if preferences.timezone else {}
            settings |= {"statement_timeout": timeout} if timeout else {}
            context = Context(
                role=asked.caller.role,
                claims=asked.claims,
                method=asked.method,
                path=asked.path,
                headers=head.settings,
                cookies=head.cookies,
                read_only=read_only,
                settings=settings,
            )
            found = head.configure(key, configuration(context))
        return found


def _nowhere(path: str) -> Refusal:
    if path in {"/", "/rpc/"}:
        return not_implemented("the OpenAPI description")
    return refusal(404, "PGRST125", "Invalid path specified in request URL")


def _check(shown: Shown, *, writes: bool = False, many: bool = True) -> Check | None:
    """What has to be seen before a transaction may be committed; None when nothing has."""
    most = shown.preferences.affected_limit if writes else None
    single = shown.media.kind == "object" and many
    if not single and most is None:
        return None

    def check(result: Result) -> None:
        if most is not None:
            check_affected(result, most)
        if single:
            check_single(result)

    return check


def _check_many(function: Function, shown: Shown) -> None:
    """PGRST128 where nothing could be counted."""
    if shown.preferences.affected_limit is not None and not function.returns_set:
        message = "Function must return SETOF or TABLE when max-affected preference is used with handling=strict"
        raise refusal(400, "PGRST128", message)


def _ranged(level: Level, window: str | None) -> Level:
    """Within the `Range` header."""
    if window:
        level.window = intersect(level.window, window)
    return level


def _offset(level: Level) -> int:
    return max(int(level.window.offset), 0)


def _given(query: Query, body: payload.Body | None) -> calling.Arguments:
    """What a function is called with, as far as that is known before it is chosen."""
    if body is None:
        names = tuple(dict.fromkeys(name for name, _ in query.arguments))
        return calling.Arguments(names=names, texts=query.arguments)
    if body.kind in payload.RAW:
        return calling.Arguments(names=())
    names, text = payload.arguments_of(body)
    return calling.Arguments(names=names, json=text)


def _arguments(function: Function, given: calling.Arguments, body: payload.Body) -> calling.Arguments:
    """How `function` takes them from a body."""
    if calling.takes_body(function, body.kind):
        raw = body.raw if function.inputs[0][1] == "bytea" else body.raw.decode("utf-8", "replace")
        return calling.Arguments(names=(), raw=raw or ("{}" if body.kind == payload.JSON else ""))
    if body.kind == payload.FORM:
        return calling.Arguments(names=given.names, texts=body.form)
    return given


def _allowed(methods: str) -> Response:
    return Response(status_code=200, headers={"allow": methods})
