"""How tables hang together: foreign keys in both directions, and through a junction table. PostgREST's rules.

A junction is a table whose primary key holds the columns of both its foreign keys. Views have none here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.localstack.pgerrors import refusal
from agent.localstack.refusal import Refusal
from agent.localstack.rest.hints import nearest
from agent.model.value import Json

Cardinality = Literal["many-to-one", "one-to-one", "one-to-many", "many-to-many"]
BETTER = 0.33
"""FuzzySet's least likeness."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignKey:
    """`origin(columns)` references `target(target_columns)`; `sole`: `columns` are unique."""

    name: str
    origin: str
    target: str
    columns: tuple[str, ...]
    target_columns: tuple[str, ...]
    sole: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Relation:
    """From `origin` to `target`: `pairs` are the columns that are equal, `far_pairs` those of junction and target."""

    cardinality: Cardinality
    name: str
    origin: str
    target: str
    pairs: tuple[tuple[str, str], ...]
    junction: str | None = None
    far_name: str = ""
    far_pairs: tuple[tuple[str, str], ...] = ()

    @property
    def to_one(self) -> bool:
        """One object instead of an array."""
        return self.cardinality in {"many-to-one", "one-to-one"}

    def describe(self) -> dict[str, Json]:
        """For the details of PGRST201."""
        if self.junction:
            near = ", ".join(theirs for _, theirs in self.pairs)
            far = ", ".join(ours for ours, _ in self.far_pairs)
            shown = f"{self.junction} using {self.name}({near}) and {self.far_name}({far})"
        else:
            ours = ", ".join(each for each, _ in self.pairs)
            theirs = ", ".join(each for _, each in self.pairs)
            shown = f"{self.name} using {self.origin}({ours}) and {self.target}({theirs})"
        return {
            "cardinality": self.cardinality,
            "embedding": f"{self.origin} with {self.target}",
            "relationship": shown,
        }


def relations(keys: Sequence[ForeignKey], primary: Mapping[str, frozenset[str]]) -> dict[str, tuple[Relation, ...]]:
    """Table → what can be embedded in it."""
    found: dict[str, list[Relation]] = {}
    for key in keys:
        pairs = tuple(zip(key.columns, key.target_columns, strict=True))
        back = tuple((theirs, ours) for ours, theirs in pairs)
        there: Cardinality = "one-to-one" if key.sole else "many-to-one"
        home: Cardinality = "one-to-one" if key.sole else "one-to-many"
        near = Relation(cardinality=there, name=key.name, origin=key.origin, target=key.target, pairs=pairs)
        far = Relation(cardinality=home, name=key.name, origin=key.target, target=key.origin, pairs=back)
        found.setdefault(key.origin, []).append(near)
        found.setdefault(key.target, []).append(far)
    for relation in _through_junctions(keys, primary):
        found.setdefault(relation.origin, []).append(relation)
    return {name: tuple(each) for name, each in found.items()}


def _through_junctions(keys: Sequence[ForeignKey], primary: Mapping[str, frozenset[str]]) -> Iterable[Relation]:
    for first in keys:
        for second in keys:
            both = {*first.columns, *second.columns}
            if first.origin == second.origin and first.name != second.name and both <= primary.get(first.origin, set()):
                yield Relation(
                    cardinality="many-to-many",
                    name=first.name,
                    origin=first.target,
                    target=second.target,
                    pairs=tuple(zip(first.target_columns, first.columns, strict=True)),
                    junction=first.origin,
                    far_name=second.name,
                    far_pairs=tuple(zip(second.columns, second.target_columns, strict=True)),
                )


def find_relation(
    origin: str, available: Sequence[Relation], target: str, hint: str | None, tables: Collection[str]
) -> Relation:
    """The one that `target!hint` means; PGRST200 for none, PGRST201 for several."""
    fitting = [each for each in available if _fits(each, target, hint)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise _ambiguous(origin, target, fitting)
    raise _unrelated(origin, available, target, hint, tables)


def _fits(relation: Relation, target: str, hint: str | None) -> bool:
    single = relation.pairs[0] if len(relation.pairs) == 1 and not relation.junction else None
    column, theirs = single or (None, None)
    if relation.origin == relation.target:
        if hint is None:
            to_many = target == relation.target and relation.cardinality == "one-to-many"
            return to_many or (target == column and relation.cardinality == "many-to-one")
        return target == relation.target and relation.cardinality == "one-to-many" and hint == theirs
    if hint is None:
        by_name = relation.name if not relation.junction else None
        return target in {relation.target, by_name, column}
    hints = {relation.junction} if relation.junction else {relation.name, column, theirs}
    return target == relation.target and hint in hints


def _ambiguous(origin: str, target: str, fitting: Sequence[Relation]) -> Refusal:
    names = ", ".join(f"'{each.target}!{each.junction or each.name}'" for each in fitting)
    message = f"Could not embed because more than one relationship was found for '{origin}' and '{target}'"
    hint = f"Try changing '{target}' to one of the following: {names}. "
    hint += "Find the desired relationship in the 'details' key."
    details: list[Json] = [each.describe() for each in fitting]
    body: dict[str, Json] = {"code": "PGRST201", "details": details, "hint": hint, "message": message}
    return Refusal(300, body, {"proxy-status": "PostgREST; error=PGRST201"})


def _unrelated(
    origin: str, available: Sequence[Relation], target: str, hint: str | None, tables: Collection[str]
) -> Refusal:
    using = f" using the hint '{hint}'" if hint else ""
    details = f"Searched for a foreign key relationship between '{origin}' and '{target}'{using} "
    details += "in the schema 'public', but no matches were found."
    known = {each.target for each in available}
    better, instead = (
        (nearest(target, known, BETTER), target) if available else (nearest(origin, tables, BETTER), origin)
    )
    told = f"Perhaps you meant '{better}' instead of '{instead}'." if better and better != instead else None
    message = f"Could not find a relationship between '{origin}' and '{target}' in the schema cache"
    return refusal(400, "PGRST200", message, details=details, hint=told)
