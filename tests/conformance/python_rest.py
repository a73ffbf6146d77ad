"""`call` through supabase-py: the chain that the list writes as data, in this client's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from postgrest.exceptions import APIError

from tests.conformance.python_wire import Wired

RENAMED = {
    "in": "in_",
    "is": "is_",
    "containedBy": "contained_by",
    "rangeGt": "range_gt",
    "rangeGte": "range_gte",
    "rangeLt": "range_lt",
    "rangeLte": "range_lte",
    "rangeAdjacent": "range_adjacent",
    "textSearch": "text_search",
    "maxAffected": "max_affected",
}
PATTERNS = {
    "likeAllOf": "like_all_of",
    "likeAnyOf": "like_any_of",
    "ilikeAllOf": "ilike_all_of",
    "ilikeAnyOf": "ilike_any_of",
}
RANGES = ("rangeGt", "rangeGte", "rangeLt", "rangeLte", "rangeAdjacent")


async def call(client: Wired, chain: list[dict[str, Any]]) -> dict[str, Any]:
    """Send it; `{data, count, error, status, headers}`."""
    client.forget()
    try:
        answer = await build(client, chain).execute()
    except APIError as err:
        error = {"code": err.code, "message": err.message, "details": err.details, "hint": err.hint}
        return {"error": error, **client.told()}
    data, count = (None, None) if answer is None else (answer.data, getattr(answer, "count", None))
    return {"data": None if client.empty else data, "count": count, "error": None, **client.told()}


def build(client: Wired, chain: list[dict[str, Any]]) -> Any:
    """The builder at the end of the chain."""
    at: Any = client.supabase
    rows_wanted = any("select" in step for step in chain)
    for step in chain:
        ((name, given),) = step.items()
        at = _apply(at, name, given, rows_wanted)
    return at


def _apply(at: Any, name: str, given: Any, rows_wanted: bool) -> Any:
    if name in VERBS:
        return VERBS[name](at, given, rows_wanted)
    if name in PATTERNS:
        return getattr(at, PATTERNS[name])(given[0], ",".join(given[1]))
    if name in RANGES:
        lower, upper = given[1].strip("[]()").split(",")
        return getattr(at, RENAMED[name])(given[0], (lower, upper))
    arguments = given if isinstance(given, list) else [] if given is True else [given]
    return getattr(at, RENAMED.get(name, name))(*arguments)


def _select(at: Any, given: Any, _: bool) -> Any:
    if isinstance(given, str):
        return at.select(given)
    how = {key: given[key] for key in ("count", "head") if key in given}
    return at.select(given.get("columns", "*"), **how)


def _write(verb: str) -> Callable[[Any, Any, bool], Any]:
    names = {"onConflict": "on_conflict", "ignoreDuplicates": "ignore_duplicates", "defaultToNull": "default_to_null"}

    def write(at: Any, given: dict[str, Any], rows_wanted: bool) -> Any:
        how = {names.get(key, key): value for key, value in given.items() if key != "values"}
        how["returning"] = "representation" if rows_wanted else "minimal"
        return getattr(at, verb)(*([given["values"]] if "values" in given else []), **how)

    return write


def _order(at: Any, given: Any, _: bool) -> Any:
    if isinstance(given, str):
        return at.order(given)
    how = {"desc": not given.get("ascending", True), "nullsfirst": given.get("nullsFirst")}
    return at.order(given["column"], **how, foreign_table=given.get("referencedTable"))


def _limit(at: Any, given: Any, _: bool) -> Any:
    return at.limit(given) if isinstance(given, int) else at.limit(given[0], foreign_table=given[1])


def _or(at: Any, given: Any, _: bool) -> Any:
    return at.or_(given) if isinstance(given, str) else at.or_(given[0], reference_table=given[1])


def _not(at: Any, given: list[Any], _: bool) -> Any:
    value = "null" if given[2] is None else given[2]
    return at.not_.filter(given[0], given[1], value)


VERBS: dict[str, Callable[[Any, Any, bool], Any]] = {
    "from": lambda at, given, _: at.from_(given),
    "rpc": lambda at, given, _: at.rpc(
        given["fn"], given.get("args", {}), given.get("count"), given.get("head", False), given.get("get", False)
    ),
    "select": _select,
    "insert": _write("insert"),
    "upsert": _write("upsert"),
    "update": _write("update"),
    "delete": _write("delete"),
    "order": _order,
    "limit": _limit,
    "or": _or,
    "not": _not,
    "maybeSingle": lambda at, _, __: at.maybe_single(),
    "stripNulls": lambda at, _, __: at.strip_nulls(),
}
