"""Payload schemas (JSON Schema 2020-12) and whether a payload fits.

A payload comes from whoever may press Run, so checking it must end soon whatever it contains: patterns run on Rust's
linear-time engine, `uniqueItems` is linear, size, depth and references are bounded, and no `$ref` leaves the schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.validators import extend
from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator, core_schema
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from agent.model import Json

MAX_BYTES = 256 * 1024
MOST_REFERENCES = 30_000
"""Followed for one payload, one or two seconds: in a recursive schema with alternatives their number doubles with each
level of the payload, and nothing else in a schema can be repeated without end."""
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_EXCERPT = 80
_ENOUGH = 100
"""Faults that are compared to find the one worth telling."""

Path = tuple[str | int, ...]


def schema_faults(schema: Mapping[str, Json]) -> list[tuple[Path, str]]:
    """Everything that keeps `schema` from being used: (path within the schema, what to do)."""
    if schema.get("$schema", _DIALECT).rstrip("#") != _DIALECT:
        return [(("$schema",), "is another dialect; payload schemas are JSON Schema 2020-12, so drop this key")]
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as err:
        where = tuple(err.absolute_path)
        return [(where, f"is not valid JSON Schema: {_short(err.message)}")]
    resolver = Registry().resolver_with_root(DRAFT202012.create_resource(schema))
    faults: list[tuple[Path, str]] = []
    for path, word, value in _keywords(schema, ()):
        complaint = _keyword_fault(path, word, value, resolver)
        if complaint:
            faults.append(((*path, word), complaint))
    return faults


def payload_fault(schema: Mapping[str, Json], payload: Json) -> str | None:
    """None when `payload` fits, else one sentence: `payload.width: 0 is less than the minimum of 1`."""
    try:
        size = len(json.dumps(payload, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass"))
        if size > MAX_BYTES:
            return f"payload: {size:,} bytes are more than the {MAX_BYTES // 1024} KiB that a payload may have"
        errors = list(islice(_validator(schema).iter_errors(payload), _ENOUGH))
    except _TooManyReferences:
        return "payload: takes too long to check, its nesting makes the job's schema refer to itself too often"
    except RecursionError:
        return "payload: is nested too deeply (or the job's schema refers to itself without end)"
    except Unresolvable:
        return "payload: cannot be checked, the job's schema refers to something it does not contain"
    except ArithmeticError:
        return "payload: has a number that is too large to be checked"
    except (TypeError, ValueError):
        return "payload: is not JSON"
    worst = best_match(errors)
    if worst is None:
        return None
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in worst.absolute_path)
    return f"payload{_short(_visible(where))}: {_short(worst.message)}"


def _keywords(schema: Json, path: Path) -> Iterator[tuple[Path, str, Json]]:
    """Every key of every mapping; also those of examples and constants, which does no harm."""
    if isinstance(schema, Mapping):
        for word, value in schema.items():
            yield path, word, value
            yield from _keywords(value, (*path, word))
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from _keywords(value, (*path, index))


def _keyword_fault(path: Path, word: str, value: Json, resolver: Any) -> str | None:
    if word == "$schema" and path and isinstance(value, str):
        return "stands inside of a schema; the dialect is told at the top or not at all"
    if word in ("$ref", "$dynamicRef") and isinstance(value, str):
        if not value.startswith("#"):
            return "leaves this schema; nothing is fetched, so define it under `$defs` and refer to `#/$defs/…`"
        try:
            resolver.lookup(value)
        except Unresolvable:
            return f"refers to {value}, which this schema does not contain"
    if word == "patternProperties" and isinstance(value, Mapping):
        return "is not supported in payload schemas; name the properties, or use `propertyNames`"
    if word == "unevaluatedItems" and isinstance(value, bool | Mapping):
        return "is not supported in payload schemas (its cost is quadratic); use `prefixItems` and `items`"
    if word == "pattern" and isinstance(value, str):
        try:
            _pattern(value)
        except PatternError:
            return "is no pattern that can be matched in linear time; do without look-around and back-references"
    return None


@lru_cache(maxsize=256)
def _pattern(text: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=text, regex_engine="rust-regex"))


def _check_pattern(_validator: Any, pattern: str, instance: Json, _schema: Json) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _pattern(pattern).isinstance_python(_storable(instance)):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _check_unique(_validator: Any, wanted: bool, instance: Json, _schema: Json) -> Iterator[ValidationError]:  # noqa: FBT001  # jsonschema calls it so
    if wanted and isinstance(instance, list):
        seen = {json.dumps(_canonical(item), sort_keys=True) for item in instance}
        if len(seen) != len(instance):
            yield ValidationError(f"{instance!r} has non-unique elements")


def _canonical(value: Json) -> Json:
    """JSON Schema takes 1 and 1.0 for the same."""
    if isinstance(value, dict):
        return {name: _canonical(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_canonical(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _storable(text: str) -> str:
    """Rust knows no lone surrogates."""
    return text.encode("utf-8", "replace").decode()


def _visible(text: str) -> str:
    """Names of properties are the sender's: no line break or escape sequence of theirs reaches a log or terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _short(text: str) -> str:
    return text if len(text) <= _EXCERPT * 2 else f"{text[:_EXCERPT]} … {text[-_EXCERPT:]}"


class _TooManyReferences(Exception):
    """The budget of one validation is used up."""


def _counted(follow: Callable[..., Any], budget: Iterator[int]) -> Callable[..., Any]:
    def check(validator: Any, reference: str, instance: Json, schema: Json) -> Iterator[ValidationError]:
        if next(budget, None) is None:
            raise _TooManyReferences
        yield from follow(validator, reference, instance, schema)

    return check


def _validator(schema: Mapping[str, Json]) -> Any:
    """For one payload. Without `$schema`: where a reference leads to it, jsonschema would go on with its own checks."""
    budget = iter(range(MOST_REFERENCES))
    words = {word: _counted(Draft202012Validator.VALIDATORS[word], budget) for word in ("$ref", "$dynamicRef")}
    checks = {**words, "pattern": _check_pattern, "uniqueItems": _check_unique}
    bounded: Any = extend(Draft202012Validator, checks)  # type: ignore[no-untyped-call]  # types-jsonschema leaves it untyped
    return bounded({word: value for word, value in schema.items() if word != "$schema"}, registry=Registry())
