"""YAML text → a tree of nodes that remember their lines.

Read from the event stream, so that duplicate keys, tags, deep nesting and alias bombs are seen instead of swallowed.
Scalars keep the text as written: `VERSION: 1.10`, `enabled: no` and `on:` mean what they look like. Limits: one
document, 1 MiB, 50 levels, 100,000 nodes after aliases are expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from agent.errors import ConfigError, Problem
from agent.model import Json

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 50
MAX_NODES = 100_000

Path = tuple[str | int, ...]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STR_TAG = "tag:yaml.org,2002:str"
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
_INT = re.compile(r"[-+]?[0-9]{1,100}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_NEEDS_QUOTES = re.compile(r":\s+[@*`%&!|>]|-\s+[@*`%&!]|^\s*[@`]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping: the line of the key, and its value."""

    line: int
    node: Node


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar (`text`), a sequence (`items`) or a mapping (`entries`); exactly one is not None."""

    line: int
    text: str | None = None
    plain: bool = False
    """A scalar written without quotes."""
    items: tuple[Node, ...] | None = None
    entries: dict[str, Entry] | None = None
    size: int = 1
    """Nodes in this subtree."""
    depth: int = 1
    """Levels of this subtree."""

    @property
    def null(self) -> bool:
        """Nothing was written, or `null` or `~`."""
        return self.plain and self.text is not None and _WORDS.get(self.text.lower(), False) is None

    def child(self, key: str | int) -> Node | None:
        """The value below `key`, or None."""
        if self.entries is not None and isinstance(key, str):
            entry = self.entries.get(key)
            return entry.node if entry else None
        if self.items is not None and isinstance(key, int) and key < len(self.items):
            return self.items[key]
        return None

    def at(self, path: Path) -> Node | None:
        """The node at `path`, or None."""
        node: Node | None = self
        for key in path:
            node = node.child(key) if node else None
        return node

    def line_of(self, path: Path) -> int:
        """The line of the key at `path`, or of the nearest thing around it that exists."""
        node, line = self, self.line
        for key in path:
            entry = node.entries.get(str(key)) if node.entries else None
            below = node.child(key)
            if below is None:
                break
            node, line = below, entry.line if entry else below.line
        return line

    def json(self) -> Json:
        """The subtree as JSON, scalars typed by YAML 1.2's core schema."""
        if self.entries is not None:
            return {key: entry.node.json() for key, entry in self.entries.items()}
        if self.items is not None:
            return [item.json() for item in self.items]
        return _typed(self.text or "") if self.plain else self.text


def parse(text: str, *, file: str) -> tuple[Node, list[Problem]]:
    """The tree, and every fault that does not stop the reading. Raises `ConfigError` where no tree can be made."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ConfigError(
            [Problem(file=file, message=f"larger than {MAX_BYTES // 1024} KiB: this is no configuration")]
        )
    reader = _Reader(file)
    try:
        root = reader.read(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as err:
        raise ConfigError([_syntax_problem(err, text, file)]) from err
    except yaml.YAMLError as err:
        raise ConfigError([Problem(file=file, message=f"not YAML: {str(err).splitlines()[0]}")]) from err
    if root is None or root.null:
        raise ConfigError([Problem(file=file, message="is empty; `config.example.yaml` shows what to write")])
    return root, reader.problems


@dataclass(slots=True)
class _Reader:
    file: str
    problems: list[Problem] = field(default_factory=list)
    anchors: dict[str, Node] = field(default_factory=dict)
    nodes: int = 0

    def read(self, events: Iterator[Any]) -> Node | None:
        root = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise self._stop(event, "a second document begins here; write one document only")
                root = self._node(next(events), events, ())
        return root

    def _node(self, event: Any, events: Iterator[Any], path: Path) -> Node:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        self._count(event, 1)
        self._check_depth(event, path, 1)
        if event.tag not in (None, "!", _STR_TAG):
            self._fault(
                line, path, f"the tag {event.tag.replace('tag:yaml.org,2002:', '!!')} is not used here; drop it"
            )
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, line, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(events, line, path)
        else:
            node = self._mapping(events, line, path)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _alias(self, event: Any, path: Path) -> Node:
        node = self.anchors.get(str(event.anchor))
        if node is None:
            hint = f'quote it if it is no alias: "*{event.anchor}"'
            raise self._stop(event, f"no anchor &{event.anchor} stands before this alias; {hint}", path)
        self._count(event, node.size)
        self._check_depth(event, path, node.depth)
        return node

    def _check_text(self, text: str, line: int, path: Path) -> None:
        if _UNWRITABLE.search(text):
            self._fault(line, path, "contains a NUL or half a character, which no program can be given; remove it")

    def _scalar(self, event: Any, line: int, path: Path) -> Node:
        self._check_text(event.value, line, path)
        return Node(line, text=event.value, plain=event.implicit[0])

    def _sequence(self, events: Iterator[Any], line: int, path: Path) -> Node:
        items: list[Node] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._node(event, events, (*path, len(items))))
        return Node(line, items=tuple(items), size=_size(items), depth=_depth(items))

    def _mapping(self, events: Iterator[Any], line: int, path: Path) -> Node:
        entries: dict[str, Entry] = {}
        merged: list[Node] = []
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._stop(event, "a key must be a single word; did you mean to quote it?", path)
            key, key_line = event.value, _line(event)
            self._check_text(key, key_line, (*path, key))
            node = self._node(next(events), events, (*path, key))
            if key == "<<" and event.implicit[0]:
                merged += self._merge(node, key_line, path)
            elif key in entries:
                first = entries[key].line
                self._fault(key_line, (*path, key), f"is written twice, first in line {first}; keep one of them")
            else:
                entries[key] = Entry(key_line, node)
        for node in merged:
            entries = {**(node.entries or {}), **entries}
        below = [entry.node for entry in entries.values()]
        return Node(line, entries=entries, size=_size(below), depth=_depth(below))

    def _merge(self, node: Node, line: int, path: Path) -> list[Node]:
        """YAML 1.1's `<<: *base`: keys that are not written here are taken from there."""
        sources = [node] if node.items is None else list(node.items)
        if any(source.entries is None for source in sources):
            self._fault(line, (*path, "<<"), "takes a mapping, e.g. `<<: *base`")
            return []
        return sources

    def _count(self, event: Any, size: int) -> None:
        self.nodes += size
        if self.nodes > MAX_NODES:
            raise self._stop(event, f"more than {MAX_NODES:,} values once aliases are expanded")

    def _check_depth(self, event: Any, path: Path, levels: int) -> None:
        if len(path) + levels > MAX_DEPTH:
            raise self._stop(event, f"nested deeper than {MAX_DEPTH} levels", path[:3])

    def _fault(self, line: int, path: Path, message: str) -> None:
        self.problems.append(Problem(file=self.file, line=line, path=dotted(path) or None, message=message))

    def _stop(self, event: Any, message: str, path: Path = ()) -> ConfigError:
        problem = Problem(file=self.file, line=_line(event), path=dotted(path) or None, message=message)
        return ConfigError([*self.problems, problem])


def dotted(path: Path) -> str:
    """("jobs", "x", "run", 1) → `jobs.x.run[1]`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}"
    return text.removeprefix(".")


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _size(nodes: Iterable[Node]) -> int:
    return 1 + sum(node.size for node in nodes)


def _depth(nodes: Iterable[Node]) -> int:
    return 1 + max((node.depth for node in nodes), default=0)


def _typed(text: str) -> Json:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _syntax_problem(err: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    mark = err.problem_mark or err.context_mark
    if mark is None:
        return Problem(file=file, message=f"not YAML: {err.problem}")
    lines = text.splitlines()
    written = lines[mark.line] if mark.line < len(lines) else ""
    return Problem(
        file=file,
        line=mark.line + 1,
        message=f"not YAML: {err.problem} (column {mark.column + 1}){_syntax_hint(written, str(err.problem))}",
    )


def _syntax_hint(written: str, problem: str) -> str:
    if "\t" in written[: len(written) - len(written.lstrip())]:
        return "; indent with spaces, not tabs"
    if "mapping values" in problem:
        return '; a text with ": " inside needs quotes'
    if _NEEDS_QUOTES.search(written):
        return "; a text that begins with a special character needs quotes"
    return ""
