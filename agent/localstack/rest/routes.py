"""The routes of `/rest/v1`: from a request to a statement and back. What PostgREST has beyond that is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import parse_qsl, quote

import psycopg
from psycopg_pool import PoolTimeout
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

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
from agent.localstack.rest.hints import nearest
from agent.localstack.rest.levels import Level, arrange
from agent.localstack.rest.parameters import canonical, intersect, parse_query
from agent.localstack.rest.preferences import Preferences, check_profile, negotiate, parse_preferences
from agent.localstack.rest.session import Check, Context, Result, Session
from agent.localstack.rest.sql import Source, source_of
from agent.localstack.rest.syntax import Query
from agent.localstack.rest.wire import Statement

Made = TypeVar("Made")
MAX_PARAMETERS = 200
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
READS = {"GET", "HEAD"}
STALE = {"42703", "42704", "PGRST200", "PGRST202", "PGRST204", "PGRST205"}
"""What a schema cache that is behind would say, too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request, and who asks."""

    request: Request
    caller: Caller

    @property
    def method(self) -> str:
        """The verb."""
        return self.request.method

    def pairs(self) -> list[tuple[str, str]]:
        """The query string, decoded."""
        text = self.request.url.query
        if not text:
            return []
        try:
            return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
        except ValueError as err:
            raise refusal(400, "PGRST_LOCAL", f"more than {MAX_PARAMETERS} query parameters") from err

    def shown(self, *, listed: bool = True) -> Shown:
        """What `Accept` and `Prefer` ask for."""
        headers = self.request.headers
        check_profile(headers, self.method)
        media = negotiate(headers.get("accept"))
        preferences = parse_preferences(headers.getlist("prefer"))
        return Shown(media=media, preferences=preferences, head=self.method == "HEAD", listed=listed)


Handler = Callable[[Asked], Awaitable[Response]]


class Rest:
    """The routes of `/rest/v1` over a pool of `authenticator`. `leeway_s`: PostgREST's skew on token times."""

    def __init__(self, pool: Pool, cache: SchemaCache, keys: Keys, *, leeway_s: float) -> None:
        self._session = Session(pool, cache)
        self._cache = cache
        self._keys = keys
        self._leeway_s = leeway_s

    def routes(self) -> list[Route]:
        """Starlette routes with their full paths."""
        return [
            Route("/rest/v1/rpc/{name}", self._guarded(self._rpc), methods=METHODS),
            Route("/rest/v1/{name}", self._guarded(self._table), methods=METHODS),
            Route("/rest/v1/{rest:path}", self._guarded(self._nowhere), methods=METHODS),
        ]

    def _guarded(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            caller = rest_caller(request, self._keys, leeway_s=self._leeway_s)
            try:
                return await handler(Asked(request=request, caller=caller))
            except NoDatabase as err:
                raise unavailable(str(err)) from err
            except PoolTimeout as err:
                message = "Timed out acquiring connection from connection pool."
                raise refusal(504, "PGRST003", message) from err
            except psycopg.Error as err:
                raise from_database(err, authed=caller.authed) from err

        return answer

    async def _nowhere(self, asked: Asked) -> Response:
        if asked.request.path_params["rest"] in {"", "rpc", "rpc/"}:
            raise not_implemented("the OpenAPI description")
        raise refusal(404, "PGRST125", "Invalid path specified in request URL")

    # ── tables ────────────────────────────────────────────────────────────

    async def _table(self, asked: Asked) -> Response:
        name = asked.request.path_params["name"]
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
        shown, pairs = asked.shown(), asked.pairs()
        level = _ranged(arrange(parse_query(pairs)), asked)

        def select() -> tuple[Statement, Source]:
            source = source_of(self._known(name))
            counted, catalog = shown.preferences.count == "exact", self._cache.current
            return reading.read(catalog, level, source, shown.media, counted=counted, body=not shown.head), source

        statement, source = await self._fresh(select)
        context = self._context(asked, shown.preferences, read_only=True)
        result = await self._session.run(context, statement, _check(shown))
        result = await self._estimated(context, result, level, source, shown.preferences)
        query_string = canonical(pairs)
        location = f"/{quote(name)}{'?' if query_string else ''}{query_string}"
        return rows_answer(result, shown, offset=_offset(level), location=location)

    async def _estimated(
        self, context: Context, result: Result, level: Level, source: Source, preferences: Preferences
    ) -> Result:
        """With the total that `count=planned` and `count=estimated` ask Postgres' planner for."""
        if preferences.count not in {"planned", "estimated"}:
            return result
        catalog, total = self._cache.current, 0
        if preferences.count == "estimated":
            some = reading.count(catalog, level, source, limit=reading.MAX_ROWS + 1)
            counted = Statement(reading.answering(some.text, None), some.values)
            total = (await self._session.run(context, counted)).rows
        if preferences.count == "planned" or total > reading.MAX_ROWS:
            planned = await self._session.planned_rows(context, reading.count(catalog, level, source))
            total = max(total, planned)
        return replace(result, total=total)

    async def _write(self, asked: Asked, name: str) -> Response:
        shown, query = asked.shown(), parse_query(asked.pairs())
        rows = payload.Rows(text="", many=False, columns=())
        if asked.method != "DELETE":
            rows = payload.rows_of(await payload.read(asked.request, function=False), query.columns)
        level = arrange(query, writes=True)

        def mutation() -> tuple[Statement, Table]:
            write = writing.Write(
                catalog=self._cache.current,
                table=self._known(name),
                query=query,
                level=level,
                preferences=shown.preferences,
                media=shown.media,
            )
            if asked.method == "DELETE":
                return writing.delete(write), write.table
            make = writing.insert if asked.method == "POST" else writing.update
            return make(write, rows), write.table

        statement, table = await self._fresh(mutation)
        context = self._context(asked, shown.preferences, read_only=False)
        result = await self._session.run(context, statement, _check(shown, writes=True))
        if asked.method == "POST":
            return insert_answer(result, shown, table, conflict=bool(table.key or query.on_conflict))
        return update_answer(result, shown) if asked.method == "PATCH" else delete_answer(result, shown)

    # ── functions ─────────────────────────────────────────────────────────

    async def _rpc(self, asked: Asked) -> Response:
        name, method = asked.request.path_params["name"], asked.method
        if method not in {"GET", "HEAD", "POST", "OPTIONS"}:
            raise refusal(405, "PGRST101", f"Cannot use the {method} method on RPC")
        if method == "OPTIONS":
            return _allowed("OPTIONS,GET,HEAD,POST")
        shown = asked.shown()
        query = parse_query(asked.pairs(), arguments=method != "POST")
        body = await payload.read(asked.request, function=True) if method == "POST" else None
        level = _ranged(arrange(query), asked)
        names = _names(query, body)
        kind = body.kind if body else None

        def chosen() -> Function:
            return calling.choose(name, names, self._cache.current, kind=kind)

        function = await self._fresh(chosen)
        if shown.preferences.affected_limit is not None and not function.returns_set:
            message = "Function must return SETOF or TABLE when max-affected preference is used with handling=strict"
            raise refusal(400, "PGRST128", message)

        def called() -> Statement:
            return calling.call(
                calling.Call(
                    catalog=self._cache.current,
                    function=function,
                    arguments=_arguments(function, query, body),
                    level=level,
                    media=shown.media,
                    body=not shown.head,
                    # Nobody plans what a function returns: it is counted.
                    counted=shown.preferences.count in {"exact", "estimated"},
                )
            )

        statement = await self._fresh(called)
        read_only = function.read_only or method != "POST"
        context = self._context(asked, shown.preferences, read_only=read_only, timeout=function.timeout)
        shown = replace(shown, listed=function.returns_set)
        check = None if function.returns_void else _check(shown, writes=not read_only, many=function.returns_set)
        result = await self._session.run(context, statement, check)
        if function.returns_void:
            return void_answer(result, shown)
        return rows_answer(result, shown, offset=_offset(level), function=True)

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

    def _context(
        self, asked: Asked, preferences: Preferences, *, read_only: bool, timeout: str | None = None
    ) -> Context:
        request, caller = asked.request, asked.caller
        settings = dict(self._cache.current.roles.get(caller.role, {}))
        settings |= {"timezone": preferences.timezone} if preferences.timezone else {}
        settings |= {"statement_timeout": timeout} if timeout else {}
        return Context(
            caller=caller,
            method=request.method,
            path=request.url.path.removeprefix("/rest/v1"),
            headers={name: value for name, value in request.headers.items() if name != "cookie"},
            cookies=request.cookies,
            read_only=read_only,
            settings=settings,
        )


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


def _ranged(level: Level, asked: Asked) -> Level:
    """Within the `Range` header, which counts for GET alone."""
    header = asked.request.headers.get("range")
    if header and asked.method == "GET":
        level.window = intersect(level.window, header)
    return level


def _offset(level: Level) -> int:
    return max(int(level.window.offset), 0)


def _names(query: Query, body: payload.Body | None) -> tuple[str, ...]:
    """The names of a function's arguments."""
    if body is None:
        return tuple(dict.fromkeys(name for name, _ in query.arguments))
    if body.kind in payload.RAW:
        return ()
    return payload.arguments_of(body)[0]


def _arguments(function: Function, query: Query, body: payload.Body | None) -> calling.Arguments:
    names = _names(query, body)
    if body is None:
        return calling.Arguments(names=names, texts=query.arguments)
    if calling.takes_body(function, body.kind):
        raw = body.raw if function.inputs[0][1] == "bytea" else body.raw.decode("utf-8", "replace")
        return calling.Arguments(names=(), raw=raw or ("{}" if body.kind == payload.JSON else ""))
    if body.kind == payload.FORM:
        return calling.Arguments(names=names, texts=body.form)
    return calling.Arguments(names=names, json=payload.arguments_of(body)[1])


def _allowed(methods: str) -> Response:
    return Response(status_code=200, headers={"allow": methods})
