"""Functions: which overload is meant, and the statement that calls it and reads its result like a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agent.localstack.pgerrors import refusal
from agent.localstack.refusal import Refusal
from agent.localstack.rest.catalog import Catalog, Function
from agent.localstack.rest.hints import nearest
from agent.localstack.rest.levels import Level
from agent.localstack.rest.payload import JSON, RAW
from agent.localstack.rest.preferences import Media
from agent.localstack.rest.reading import Reader, answering, list_of, scalar
from agent.localstack.rest.relations import BETTER
from agent.localstack.rest.sql import Parameters, Source, qualified, quoted, source_of
from agent.localstack.rest.wire import Statement

SCALAR = "pgrst_scalar"


class Arguments(NamedTuple):
    """What a function is called with: a JSON object, the query string's texts, or one body without a name."""

    names: tuple[str, ...]
    json: str | None = None
    texts: tuple[tuple[str, str], ...] = ()
    raw: str | bytes | None = None


def choose(name: str, given: Sequence[str], catalog: Catalog, *, kind: str | None) -> Function:
    """The overload whose arguments fit; `kind`: the content type of a POST, that one nameless argument may take."""
    names, known = set(given), catalog.functions.get(name, ())
    fitting = [each for each in known if _fits(each, names, kind)]
    if not fitting:
        fitting = [each for each in known if takes_body(each, kind)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        shown = [f"public.{name}({', '.join(f'{n} => {t}' for n, t in each.inputs)})" for each in fitting]
        raise refusal(
            300,
            "PGRST203",
            f"Could not choose the best candidate function between: {', '.join(shown)}",
            hint="Try renaming the parameters or the function itself in the database so function overloading "
            "can be resolved",
        )
    raise _not_found(name, given, catalog, kind=kind)


def _fits(function: Function, names: set[str], kind: str | None) -> bool:
    if not function.inputs:
        return not names and kind not in RAW
    inputs = {name for name, _ in function.inputs}
    return "" not in inputs and function.required <= names <= inputs


def takes_body(function: Function, kind: str | None) -> bool:
    """Whether its only argument has no name and takes a body of that type whole."""
    if len(function.inputs) != 1 or function.inputs[0][0]:
        return False
    types = {"json", "jsonb"} if kind == JSON else {RAW[kind]} if kind in RAW else set()
    return function.inputs[0][1] in types


def _not_found(name: str, given: Sequence[str], catalog: Catalog, *, kind: str | None) -> Refusal:
    """PGRST202 in PostgREST's words."""
    names = ", ".join(sorted(given))
    if kind in RAW:
        signature, searched, hint = "", f" with a single unnamed {RAW[kind]} parameter", None
    else:
        signature = f"({names})" if given else " without parameters"
        searched = f" with parameter{'s' if len(given) > 1 else ''} {names}" if given else signature
        searched += " or with a single unnamed json/jsonb parameter" if kind == JSON else ""
        hint = _hint(name, sorted(given), catalog)
    return refusal(
        404,
        "PGRST202",
        f"Could not find the function public.{name}{signature} in the schema cache",
        details=f"Searched for the function public.{name}{searched}, but no matches were found in the schema cache.",
        hint=hint,
    )


def _hint(name: str, given: Sequence[str], catalog: Catalog) -> str | None:
    overloads = catalog.functions.get(name, ())
    if overloads:
        signatures = (f"({', '.join(sorted(argument for argument, _ in each.inputs))})" for each in overloads)
        better = nearest(f"({', '.join(given)})", signatures, BETTER)
        better = better and name + better
    else:
        better = nearest(name, catalog.functions)
    return f"Perhaps you meant to call the function public.{better}" if better else None


def source_of_result(catalog: Catalog, function: Function) -> Source:
    """The result as something to select from."""
    table = catalog.tables.get(function.returns_table or "")
    if table is not None:
        return source_of(table)
    columns: Mapping[str, str] = function.outputs if function.returns_row else {SCALAR: ""}
    return Source(alias=function.name, name=function.name, columns=columns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A function, what it is given, and how the result is wanted."""

    catalog: Catalog
    function: Function
    arguments: Arguments
    level: Level
    media: Media
    body: bool = True
    counted: bool = False


def call(wanted: Call) -> Statement:
    """`/rpc/function`."""
    function, media = wanted.function, wanted.media
    reader = Reader(catalog=wanted.catalog, parameters=Parameters())
    # What nobody reads of a result Postgres need not compute; a function without one has to be called all the same.
    how = "materialized " if function.returns_void else ""
    before = f"with _w as {how}({_invocation(function, wanted.arguments, reader.parameters)}) "
    if function.returns_void:
        text = answering("select 1 from _w", None, before=before)
        return Statement(text, reader.parameters.values)
    source = source_of_result(wanted.catalog, function)
    origin = f"_w as {quoted(source.alias)}"
    rows = reader.level(wanted.level, source, origin)
    total = "null"
    if wanted.counted:
        _, counted = reader.parts(Level(where=wanted.level.where), source, origin)
        total = f"(select count(*) from (select 1 {counted}) as _n)"
    text = answering(rows, media if wanted.body else None, shape=_shape(function, media), before=before, total=total)
    return Statement(text, reader.parameters.values)


def _shape(function: Function, media: Media) -> str:
    """Scalars come bare, and what is no set is no list."""
    if media.kind == "csv":
        return ""
    if function.returns_row:
        return "" if function.returns_set else scalar("_t", media)
    value = f"_t.{SCALAR}"
    if function.returns_set:
        return list_of(value, media)
    return scalar(value, media)


def _invocation(function: Function, arguments: Arguments, parameters: Parameters) -> str:
    """The select that calls it: rows as they are, a scalar as the column `pgrst_scalar`."""
    name = qualified(function.name)
    source = ""
    if arguments.raw is not None:
        given = f"{parameters.add(arguments.raw)}::{function.inputs[0][1]}"
    elif arguments.json is not None and arguments.names:
        types = dict(function.inputs)
        typed = ", ".join(f"{quoted(each)} {types[each]}" for each in arguments.names)
        source = f"json_to_record({parameters.add(arguments.json)}::json) as _a ({typed})"
        given = ", ".join(f"{_variadic(function, each)}{quoted(each)} := _a.{quoted(each)}" for each in arguments.names)
    else:
        given = ", ".join(_texts(function, arguments, parameters))
    called = f"{name}({given})"
    if function.returns_void or not function.returns_row:
        lateral = f"(select {called} as {SCALAR})"
        return f"select _f.{SCALAR} from {f'{source}, lateral ' if source else ''}{lateral} as _f"
    return f"select _f.* from {f'{source}, lateral ' if source else ''}{called} as _f"


def _texts(function: Function, arguments: Arguments, parameters: Parameters) -> Iterable[str]:
    """Named arguments from the query string; a variadic one may come several times."""
    types = dict(function.inputs)
    grouped: dict[str, list[str]] = {}
    for name, value in arguments.texts:
        grouped.setdefault(name, []).append(value)
    for name, values in grouped.items():
        if function.variadic and name == function.inputs[-1][0]:
            items = ", ".join(parameters.add(value) for value in values)
            yield f"variadic {quoted(name)} := array[{items}]::{types[name]}"
        else:
            yield f"{quoted(name)} := {parameters.add(values[-1])}::{types[name]}"


def _variadic(function: Function, name: str) -> str:
    return "variadic " if function.variadic and name == function.inputs[-1][0] else ""
