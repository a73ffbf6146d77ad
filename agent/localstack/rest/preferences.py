"""`Prefer`, `Accept` and the profile headers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal
from zoneinfo import available_timezones

from agent.localstack.pgerrors import refusal
from agent.localstack.refusal import Refusal, not_implemented

SCHEMA = "public"
OBJECT = "application/vnd.pgrst.object+json"
ARRAY = "application/vnd.pgrst.array+json"
CSV = "text/csv"
JSON = "application/json"
GEOJSON = "application/geo+json"
CHOICES = {
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "missing": ("default", "null"),
    "return": ("representation", "minimal", "headers-only"),
    "count": ("exact", "planned", "estimated"),
    "tx": ("commit", "rollback"),
    "handling": ("strict", "lenient"),
}
"""In the order of `Preference-Applied`. `tx` is taken and not acted upon: hosted projects commit (`db-tx-end`)."""
Kind = Literal["json", "object", "csv"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Preferences:
    """What `Prefer` asks for; of several words about the same thing the first counts."""

    given: Mapping[str, str]
    timezone: str | None = None
    max_affected: int | None = None
    unknown: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    """All of it, as it was said."""

    @property
    def returning(self) -> bool:
        """Whether a write answers with the rows."""
        return self.given.get("return") == "representation"

    @property
    def strict(self) -> bool:
        """Whether what is not understood is an error."""
        return self.given.get("handling") == "strict"

    @property
    def count(self) -> str | None:
        """How rows are to be counted."""
        return self.given.get("count")

    @property
    def affected_limit(self) -> int | None:
        """The most rows that may change."""
        return self.max_affected if self.strict else None

    def applied(self, names: Iterable[str]) -> dict[str, str]:
        """The header that says which of `names` were acted upon."""
        said = [f"{name}={self.given[name]}" for name in CHOICES if name in names and name in self.given]
        said += [f"timezone={self.timezone}"] if self.timezone else []
        said += (
            [f"max-affected={self.max_affected}"] if "max-affected" in names and self.affected_limit is not None else []
        )
        return {"preference-applied": ", ".join(said)} if said else {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    """What the answer looks like. `stripped`: without keys that are null."""

    kind: Kind
    stripped: bool = False

    @property
    def content_type(self) -> str:
        """Its header."""
        if self.kind == "csv":
            return f"{CSV}; charset=utf-8"
        if self.kind == "object":
            return f"{OBJECT}{';nulls=stripped' if self.stripped else ''}; charset=utf-8"
        return f"{ARRAY};nulls=stripped; charset=utf-8" if self.stripped else f"{JSON}; charset=utf-8"


JSON_MEDIA = Media(kind="json")


def parse_preferences(headers: Iterable[str]) -> Preferences:
    """Every `Prefer` header, read as one list."""
    given: dict[str, str] = {}
    unknown: list[str] = []
    timezone, affected = None, None
    words = tuple(part.strip() for header in headers for part in header.split(","))
    for word in words:
        name, _, value = word.partition("=")
        if name in CHOICES and value in CHOICES[name]:
            given.setdefault(name, value)
        elif name == "timezone" and value in _timezones():
            timezone = timezone or value
        elif name == "max-affected" and value.isascii() and value.isdigit():
            affected = int(value) if affected is None else affected
        elif word:
            unknown.append(word)
    found = Preferences(given=given, timezone=timezone, max_affected=affected, unknown=tuple(unknown), words=words)
    if found.strict and unknown:
        message = "Invalid preferences given with handling=strict"
        raise refusal(400, "PGRST122", message, details=f"Invalid preferences: {', '.join(unknown)}")
    return found


def negotiate(accept: str | None) -> Media:
    """The first acceptable type, by quality; PGRST107 when there is none."""
    if accept is None or accept in {"*/*", JSON}:
        return JSON_MEDIA
    wanted = sorted((_weighed(part) for part in accept.split(",")), key=lambda pair: -pair[0])
    for _, media in wanted:
        name, _, rest = media.partition(";")
        stripped = "nulls=stripped" in rest.replace(" ", "")
        match name.strip().lower():
            case "application/json" | "*/*" | "":
                return JSON_MEDIA
            case "application/vnd.pgrst.object+json" | "application/vnd.pgrst.object":
                return Media(kind="object", stripped=stripped)
            case "application/vnd.pgrst.array+json" | "application/vnd.pgrst.array":
                return Media(kind="json", stripped=stripped)
            case "text/csv":
                return Media(kind="csv")
            case "application/geo+json":
                raise not_implemented(f"the media type {GEOJSON}")
    names = ", ".join(media.strip() for _, media in wanted)
    raise refusal(406, "PGRST107", f"None of these media types are available: {names}")


def check_profile(headers: Mapping[str, str], method: str) -> None:
    """PGRST106 for another schema; reads name theirs in `Accept-Profile`, writes in `Content-Profile`."""
    header = "accept-profile" if method in {"GET", "HEAD"} else "content-profile"
    schema = headers.get(header, SCHEMA)
    if schema != SCHEMA:
        raise wrong_schema(schema)


def wrong_schema(schema: str) -> Refusal:
    """PGRST106."""
    hint = f"Only the following schemas are exposed: {SCHEMA}"
    return refusal(406, "PGRST106", f"Invalid schema: {schema}", hint=hint)


def _weighed(part: str) -> tuple[float, str]:
    kept, quality = [], 1.0
    for piece in part.split(";"):
        name, _, value = piece.strip().partition("=")
        if name.lower() != "q":
            kept.append(piece.strip())
            continue
        try:
            quality = float(value)
        except ValueError:
            quality = 0.0
    return quality, ";".join(kept)


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())
