"""The schema as documents: JSON Schema for editors, and the page docs/config.md.

Both come from schema.py alone; a test compares the page with the committed one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agent.config.fields import Checked
from agent.config.part import written_fields
from agent.config.schema import Settings
from agent.model import Json

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_WORDS = {str: "text", int: "whole number", bool: "true or false", Any: "anything"}

_INTRODUCTION = """\
# The configuration file

Generated from `agent/config/schema.py`; do not edit (`python -m agent.config.document > docs/config.md`).

`cronmirror check` reads a file and names every fault at once, with its line. `cronmirror schema` prints a JSON Schema
for editors: put `# yaml-language-server: $schema=cronmirror.schema.json` at the top of the file. An edit takes effect
at once; a bad one is refused and the last good configuration stays in force. `project`, `agent`, `supabase`, `sync`
and `drain_timeout` are read at the start of the agent.

The file and its folder must not be writable by others (`chmod 600 config.yaml`): who can write it decides what runs.

## How values are written

- **Durations** are numbers with units, largest first: `45s`, `15m`, `1h30m`, `2d`, `500ms` (`w d h m s ms`).
- **Sizes** have a unit: `64KiB`, `1MiB` (1024), `64KB` (1000), `500B`.
- **Scalars are taken as written**: `VERSION: 1.10` is `1.10`, and `no` is the text `no` (where true or false is
  expected, `yes`, `no`, `on` and `off` work). A text that begins with `*`, `@`, `&`, `!`, `%` or contains `: `
  needs quotes, so quote cron expressions.
- Each key may be written once. Anchors, aliases and `<<: *base` work; tags (`!…`) do not.

## Values from outside

| written | becomes |
|---|---|
| `${NAME}` | a variable of the agent's environment, else of an `env_file`; it must be set |
| `${NAME:-default}` | the same, or `default` where it is not set or empty |
| `${keyring:NAME}` | the password `NAME` of the service `cronmirror` in the system's keyring |
| `${file:PATH}` | the text of a file, without its last newline; relative to the configuration file |
| `$$` | a dollar sign |

Filled in after the YAML was read, so a value never adds structure. **Not** filled in: keys, `shell` (there `${NAME}`
belongs to the shell: hand secrets over through `env`), `payload`, `name`, `description`, `instructions`, `tags` and
`env_file`. An `env_file` has lines `NAME=value`, `export NAME="value"` or `# comment`, belongs to the agent's user (or
root) and is `chmod 600`. Its variables are not handed to jobs; only `env` is.

**Secrets.** These values are replaced by `***` in output before it is stored or sent, plain, base64 and URL-encoded,
where they have four characters or more: everything from a keyring or a file; every variable filled into `env`, `run`,
`http` or `python` (but for `HOME`, `USER`, `PATH` and their like; a `:-default` is no secret); `supabase.key`,
`supabase.password`, each `client_secret` of `connections`, the URLs of `notify` and of a `ping`; the password in an
`http.url`; and values of `env` and `http.headers` whose name contains KEY, TOKEN, SECRET, PASS or CREDENTIAL (of
headers also AUTH or COOKIE). Jobs do not inherit the variables that `supabase.key`, `supabase.password`, a
`client_secret` and `notify` are filled from. Nothing that was filled in is mirrored: `instructions` shows the command
as it is written in the file.

## Keys
"""


def json_schema() -> dict[str, Json]:
    """JSON Schema (2020-12) of the whole file."""
    schema = Settings.model_json_schema()
    return {"$schema": _DIALECT, **schema, "title": "Cronmirror configuration"}


def reference() -> str:
    """docs/config.md."""
    return _INTRODUCTION + "".join(_section(title, model) for title, model in _sections(Settings, ""))


def _sections(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Every mapping of the file, in order, each model once."""
    seen: set[type[BaseModel]] = set()
    waiting = [(path or "Top level", model)]
    while waiting:
        title, each = waiting.pop(0)
        if each in seen:
            continue
        seen.add(each)
        yield title, each
        prefix = "" if each is model else f"{title}."
        below = [
            (f"{prefix}{name}{suffix}", inner)
            for name, field in written_fields(each).items()
            for suffix, inner in [_model_of(field.annotation)]
            if inner
        ]
        waiting = below + waiting


def _section(title: str, model: type[BaseModel]) -> str:
    rows = "".join(_row(name, field) for name, field in written_fields(model).items())
    heading = title if title == "Top level" else f"`{title}`"
    about = " ".join((model.__doc__ or "").split())
    return f"\n### {heading}\n\n{about}\n\n| key | type | default | meaning | example |\n|---|---|---|---|---|\n{rows}"


def _row(name: str, field: FieldInfo) -> str:
    default = "**required**" if field.is_required() else _code(field.default)
    example = _code(field.examples[0]) if field.examples else ""
    cells = (f"`{name}`", _kind(field), default, field.description or "", example)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _code(value: Json) -> str:
    """As it would be written in the YAML, on one line."""
    if value is None or value in ({}, []):
        return ""
    if isinstance(value, str):
        text = json.dumps(value) if value[:1] in "@*&!%" or ": " in value else value
    else:
        text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000).splitlines()[0]
    return f"`{text}`"


def _kind(field: FieldInfo) -> str:
    for data in field.metadata:
        if isinstance(data, Checked):
            return str(data)
    return _name(field.annotation)


def _name(annotation: Any) -> str:
    """A type as people call it."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return _name(next(arg for arg in args if arg is not type(None)))
    checked = [data for data in getattr(annotation, "__metadata__", ()) if isinstance(data, Checked)]
    if checked:
        return str(checked[0])
    if hasattr(annotation, "__metadata__"):
        return _name(annotation.__origin__)
    if origin is list:
        return f"list: {_name(args[0])}"
    if origin is dict:
        return "mapping" if args[1] is Any else f"mapping: {_name(args[0])} → {_name(args[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    return _WORDS[annotation]


def _model_of(annotation: Any) -> tuple[str, type[BaseModel] | None]:
    """The model of a key's value, and what stands for the ids between."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return _model_of(next(arg for arg in args if arg is not type(None)))
    if origin is dict:
        return ".<id>", _model_of(args[1])[1]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "", annotation
    return "", None


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201  # this is how docs/config.md is made
