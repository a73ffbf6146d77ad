"""pydantic's errors → sentences for people: what is wrong at which key, and what to do.

Values are shown as they were written (`${NAME}`, not what it stands for), and not at all where secrets live.
"""

from __future__ import annotations

from difflib import get_close_matches
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from agent.config.fields import VALUE_FAULT
from agent.config.part import written_fields
from agent.config.schema import Settings
from agent.config.tree import Node, Path

LATER = {
    "control": "the control API is",
}
"""Keys of later versions: refused, so that nobody relies on what does not happen."""

ALSO_CALLED = {
    "command": "run` (a list) or `shell",
    "cmd": "run` (a list) or `shell",
    "script": "shell",
    "cron": "schedule",
    "interval": "every",
    "cwd": "workdir",
    "directory": "workdir",
    "working_directory": "workdir",
    "tz": "timezone",
    "environment": "env",
    "retries": "retry: {max_attempts: …}",
    "schema": "payload",
    "webhook": "http",
    "url": "http: {url: …}",
    "function": "python",
    "disabled": "enabled: false",
}

_BY_ID = {"jobs": "under a job", "connections": "under a connection"}
"""Sections whose keys are ids, and how one of their entries is called."""
_EXCERPT = 60
_KEY_FAULT = "[key]"


def translate(errors: list[ErrorDetails], tree: Node) -> list[tuple[Path, str]]:
    """(path, message) of each error."""
    faults = []
    for error in errors:
        path = tuple(error["loc"])
        of_key = path[-1:] == (_KEY_FAULT,)
        path = path[:-1] if of_key else path
        if _in_short_form(tree, path):
            path = path[:-1]
        shown = f'"{path[-1]}"' if of_key else written(tree, path)
        faults.append((path, _sentence(error, path, shown)))
    return faults


def _in_short_form(tree: Node, path: Path) -> bool:
    """`python: module:function` is read as `python: {call: module:function}`."""
    around = tree.at(path[:-1])
    return around is not None and around.text is not None and not around.null


def written(tree: Node, path: Path) -> str:
    """The value at `path` as a person would point at it."""
    node = tree.at(path)
    if node is None or node.null:
        return "nothing"
    if node.entries is not None:
        return "a mapping"
    if node.items is not None:
        return "a list"
    sections = (("supabase",), ("notify",))
    secret = path[:1] in sections or (path[:1] == ("connections",) and path[2:3] == ("client_secret",))
    if secret or {"env", "headers", "token_extra"} & set(path[:-1]) or "ping" in path[2:]:
        return "this value"
    text = "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in node.text or "")
    return f'"{text}"' if len(text) <= _EXCERPT else f'"{text[:_EXCERPT]}…"'


def _sentence(error: ErrorDetails, path: Path, shown: str) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == VALUE_FAULT:
        return f"{shown} {context['message']}"
    if kind == "extra_forbidden":
        return unknown_key(path)
    if kind == "missing":
        return _missing(path)
    if kind in ("model_type", "dict_type"):
        return f"expects keys with values below it, not {shown}" + _list_hint(path)
    simple = {
        "list_type": f"expects a list such as [a, b], not {shown}",
        "bool_parsing": f"{shown} is neither true nor false",
        "bool_type": f"expects true or false, not {shown}",
        "int_parsing": f"{shown} is not a whole number",
        "int_type": f"expects a whole number, not {shown}",
        "greater_than_equal": f"{shown} is too small; write at least {context.get('ge')}",
        "less_than_equal": f"{shown} is too large; write at most {context.get('le')}",
    }
    return simple.get(kind) or error["msg"]


def _missing(path: Path) -> str:
    model = _model_at(path[:-1])
    example = written_fields(model)[str(path[-1])].examples if model else None
    return f"is missing; write e.g. `{path[-1]}: {example[0]}`" if example else "is missing"


def _list_hint(path: Path) -> str:
    if path == ("jobs",):
        return "; a job's id is its key: `jobs: {hello: {…}}`"
    return "; its id is its key: `connections: {google: {…}}`" if path == ("connections",) else ""


def unknown_key(path: Path) -> str:
    """Why `path` is no key, and which one may have been meant."""
    name, section = str(path[-1]), path[:-1]
    if name in LATER:
        return f"unknown key: {LATER[name]} not part of this version; drop it"
    word = name.lower().replace("-", "_")
    if word in ALSO_CALLED and section[:1] == ("jobs",):
        return f"unknown key; did you mean `{ALSO_CALLED[word]}`?"
    home = _home_of(name)
    if home:
        return f"unknown key here; it belongs {home}"
    model = _model_at(section)
    known = list(written_fields(model)) if model else []
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"unknown key; did you mean `{close[0]}`?"
    return f"unknown key; there are {', '.join(known)}" if known else "unknown key"


def _home_of(name: str) -> str | None:
    """Where a key of this name is known."""
    if name in Settings.model_fields:
        return "at the top of the file"
    for section in ("defaults", "agent", "supabase", "sync", "limits", "tokens", *_BY_ID):
        model = _model_at((section, "*") if section in _BY_ID else (section,))
        if model and name in written_fields(model):
            return _BY_ID.get(section, f"under `{section}:`")
    return None


def _model_at(path: Path) -> type[BaseModel] | None:
    """The model that describes the mapping at `path`."""
    here: Any = Settings
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            info = written_fields(here).get(str(part))
            here = _inner(info.annotation) if info else None
        elif get_origin(here) is dict:
            here = _inner(get_args(here)[1])
        else:
            return None
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _inner(annotation: Any) -> Any:
    """`X | None` → X."""
    if get_origin(annotation) in (Union, UnionType):
        return next(arg for arg in get_args(annotation) if arg is not type(None))
    return annotation
