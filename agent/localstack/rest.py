"""`/rest/v1`: the slice of PostgREST that this product and its page use, run as the caller's own database role.

GET, POST and PATCH on tables, POST on functions. What PostgREST has beyond that is refused as not implemented.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

import psycopg
from psycopg_pool import PoolTimeout
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.localstack.access import Caller, rest_caller
from agent.localstack.catalog import Function, SchemaCache, Table
from agent.localstack.keys import Keys
from agent.localstack.pgerrors import from_database, refusal, unavailable
from agent.localstack.pool import NoDatabase, Pool
from agent.localstack.query import OBJECT, Query, Wishes, parse_query, parse_wishes
from agent.localstack.refusal import JSON_TYPE, not_implemented, read_body
from agent.localstack.statements import Statement, call, insert, select, update
from agent.model.value import Json

Handler = Callable[[Request, Caller], Awaitable[Response]]
TIMEOUTS = {"anon": "3s", "authenticated": "8s", "service_role": "8s"}
"""Hosted projects' `statement_timeout` by role; service_role has the authenticator's."""
MAX_URL = 32 * 1024
MAX_PARAMETERS = 200
CONFIGURE = """
select set_config('role', %s, true), set_config('search_path', '"public", "extensions"', true),
  set_config('request.jwt.claims', %s, true), set_config('request.method', %s, true),
  set_config('request.path', %s, true), set_config('request.headers', %s, true),
  set_config('statement_timeout', %s, true), set_config('transaction_read_only', %s, true)
"""


class Rest:
    """The routes of `/rest/v1` over a pool of `authenticator`. `leeway_s`: PostgREST's skew on token times."""

    def __init__(self, pool: Pool, cache: SchemaCache, keys: Keys, *, leeway_s: float) -> None:
        self._pool = pool
        self._cache = cache
        self._keys = keys
        self._leeway_s = leeway_s

    def routes(self) -> list[Route]:
        """Starlette routes with their full paths."""
        every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return [
            Route("/rest/v1/rpc/{name}", self._guarded(self._rpc), methods=every),
            Route("/rest/v1/{name}", self._guarded(self._table), methods=every),
            Route("/rest/v1/{rest:path}", self._guarded(self._nowhere), methods=every),
        ]

    def _guarded(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            caller = rest_caller(request, self._keys, leeway_s=self._leeway_s)
            if len(str(request.url)) > MAX_URL:
                raise refusal(414, "PGRST_LOCAL", f"the URL is longer than {MAX_URL} characters")
            try:
                return await handler(request, caller)
            except NoDatabase as err:
                raise unavailable(str(err)) from err
            except PoolTimeout as err:
                message = "Timed out acquiring connection from connection pool."
                raise refusal(504, "PGRST003", message) from err
            except psycopg.Error as err:
                raise from_database(err, authed=caller.authed) from err

        return answer

    async def _nowhere(self, request: Request, _: Caller) -> Response:
        if request.path_params["rest"] in {"", "rpc", "rpc/"}:
            raise not_implemented("the OpenAPI description")
        raise refusal(404, "PGRST125", "Invalid path specified in request URL")

    # ── tables ────────────────────────────────────────────────────────────

    async def _table(self, request: Request, caller: Caller) -> Response:
        name = request.path_params["name"]
        if request.method not in {"GET", "POST", "PATCH"}:
            raise not_implemented(f"{request.method} on a table")
        wishes = parse_wishes(request.headers)
        query = parse_query(_parameters(request))
        reads = request.method == "GET"
        body, given = ("", None) if reads else await _json(request)
        columns, rows = ((), "") if reads else _payload(body, given, query, many=request.method == "POST")
        table = await self._cache.table(name, {*query.names(), *columns})
        if table is None:
            message = f"Could not find the table 'public.{name}' in the schema cache"
            raise refusal(404, "PGRST205", message)
        if reads:
            statement = select(table, query)
            answer, count = await self._run(request, caller, statement, single=wishes.single, read_only=True)
            return _answer(answer, count, wishes, offset=query.offset)
        return await self._write(
            request, caller, _mutation(request.method, table, query, wishes, columns, rows), wishes
        )

    async def _write(self, request: Request, caller: Caller, statement: Statement, wishes: Wishes) -> Response:
        answer, count = await self._run(request, caller, statement, single=wishes.single)
        creates = request.method == "POST"
        if not wishes.returning:
            return Response(status_code=201 if creates else 204, headers={"content-range": "*/*"})
        return _answer(answer, count, wishes, status=201 if creates else 200, applied="return=representation")

    # ── functions ─────────────────────────────────────────────────────────

    async def _rpc(self, request: Request, caller: Caller) -> Response:
        if request.method != "POST":
            raise not_implemented(f"{request.method} on a function")
        wishes = parse_wishes(request.headers)
        if any(key != "apikey" for key, _ in _parameters(request)):
            raise not_implemented("query parameters on a function")
        body, given = await _json(request, empty="{}")
        if not isinstance(given, dict):
            raise refusal(400, "PGRST102", "Empty or invalid json")
        name = request.path_params["name"]
        function = _choose(name, tuple(given), await self._cache.functions(name))
        statement = call(function, tuple(given), body)
        answer, rows = await self._run(
            request, caller, statement, single=wishes.single and function.returns_set, read_only=function.read_only
        )
        if function.returns_void:
            return Response(status_code=204, headers={"content-range": "*/*"})
        return _answer(answer, rows, wishes, array=function.returns_set)

    # ── running ───────────────────────────────────────────────────────────

    async def _run(
        self, request: Request, caller: Caller, statement: Statement, *, single: bool, read_only: bool = False
    ) -> tuple[str, int]:
        """Body and number of rows, run as `caller` in one transaction; PGRST116 (and rollback) unless `single` fits."""
        settings = [
            caller.role,
            json.dumps(caller.claims),
            request.method,
            request.url.path.removeprefix("/rest/v1"),
            json.dumps({key: value for key, value in request.headers.items() if key != "cookie"}),
            TIMEOUTS[caller.role],
            "on" if read_only else "off",
        ]
        async with self._pool.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(CONFIGURE, settings)
            await cursor.execute(statement.text, statement.values)
            row = await cursor.fetchone()
            body, rows = (str(row[0]), int(row[1])) if row else ("null", 0)
            if single and rows != 1:
                message = "Cannot coerce the result to a single JSON object"
                raise refusal(406, "PGRST116", message, details=f"The result contains {rows} rows")
        return body, rows


def _answer(
    body: str, rows: int, wishes: Wishes, *, status: int = 200, offset: int = 0, array: bool = True, applied: str = ""
) -> Response:
    """The JSON that Postgres made, with PostgREST's headers."""
    headers = {"content-range": f"{offset}-{offset + rows - 1}/*" if rows else "*/*"}
    headers |= {"preference-applied": applied} if applied else {}
    media_type = f"{OBJECT}; charset=utf-8" if wishes.single else JSON_TYPE
    text = body[1:-1] if wishes.single and array else body
    return Response(text.encode(), status, headers=headers, media_type=media_type)


def _parameters(request: Request) -> list[tuple[str, str]]:
    try:
        return parse_qsl(request.url.query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError as err:
        raise refusal(400, "PGRST_LOCAL", f"more than {MAX_PARAMETERS} query parameters") from err


async def _json(request: Request, *, empty: str = "") -> tuple[str, Json]:
    """The body as text and as value. PGRST102 as PostgREST says it."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind not in {"application/json", OBJECT}:
        raise not_implemented(f"the content type {kind!r}")
    try:
        text = (await read_body(request)).decode("utf-8") or empty
        return text, json.loads(text)
    except (ValueError, RecursionError) as err:
        raise refusal(400, "PGRST102", "Empty or invalid json") from err


def _payload(body: str, given: Json, query: Query, *, many: bool) -> tuple[tuple[str, ...], str]:
    """Columns to write, and the rows (POST: an array) or the row (PATCH: an object) as JSON text."""
    if not many:
        if not isinstance(given, dict):
            raise not_implemented("PATCH with anything but one object")
        return (tuple(given) if query.columns is None else query.columns), body
    rows = given if isinstance(given, list) else [given]
    if not all(isinstance(row, dict) for row in rows):
        raise refusal(400, "PGRST102", "All object keys must match")
    keys = set(rows[0]) if rows else set()
    if query.columns is None and any(row.keys() != keys for row in rows):
        raise refusal(400, "PGRST102", "All object keys must match")
    columns = tuple(sorted(keys)) if query.columns is None else query.columns
    return columns, body if isinstance(given, list) else f"[{body}]"


def _mutation(
    method: str, table: Table, query: Query, wishes: Wishes, columns: tuple[str, ...], rows: str
) -> Statement:
    creates = method == "POST"
    if query.order or query.limit is not None or query.offset or (creates and query.filters):
        raise not_implemented(f"filters, order, limit and offset on {method}")
    if creates:
        return insert(table, query, columns, rows, returning=wishes.returning)
    if not query.filters:
        # Hosted projects load pg_safeupdate for the API.
        raise refusal(400, "21000", "UPDATE requires a WHERE clause")
    return update(table, query, columns, rows, returning=wishes.returning)


def _choose(name: str, given: tuple[str, ...], overloads: tuple[Function, ...]) -> Function:
    """The overload whose argument names fit: all that are required, none that is unknown."""
    fitting = [each for each in overloads if each.required <= set(given) <= each.inputs.keys()]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        shown = [f"public.{name}({', '.join(f'{n} => {t}' for n, t in each.inputs.items())})" for each in fitting]
        raise refusal(
            300,
            "PGRST203",
            f"Could not choose the best candidate function between: {', '.join(shown)}",
            hint="Try renaming the parameters or the function itself in the database so function overloading "
            "can be resolved",
        )
    listed = ", ".join(sorted(given))
    signature = f"({listed})" if given else " without parameters"
    searched = f" with parameter{'s' if len(given) > 1 else ''} {listed}" if given else signature
    raise refusal(
        404,
        "PGRST202",
        f"Could not find the function public.{name}{signature} in the schema cache",
        details=f"Searched for the function public.{name}{searched} or with a single unnamed json/jsonb parameter, "
        "but no matches were found in the schema cache.",
    )
