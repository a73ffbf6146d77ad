"""YAML text → Config, or every fault at once, each with its line and what to do.

Order: YAML → env files → `${…}` → types → rules over several keys → Config. A value that is already known to be faulty
is not complained about twice.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from agent.config.build import Builder, Surroundings
from agent.config.config import Config, url_fault
from agent.config.faults import translate
from agent.config.interpolate import Lookup
from agent.config.resolve import resolve
from agent.config.rules import rule_faults
from agent.config.schema import Settings
from agent.config.tree import Node, Path, dotted, parse
from agent.errors import ConfigError, Problem
from agent.model import Json


def load(text: str, *, lookup: Lookup, around: Surroundings) -> Config:
    """Read a configuration. Raises `ConfigError` with every problem, in file order."""
    tree, problems = parse(text, file=around.file)
    if tree.entries is None:
        message = "expects keys such as `project:` and `jobs:`"
        raise ConfigError([Problem(file=around.file, line=tree.line, message=message)])
    problems += _env_files(tree, lookup, around.file)
    resolution = resolve(tree, lookup)
    known = {dotted(path) for path, _ in resolution.faults} | {problem.path or "" for problem in problems}
    settings, faults = _validate(resolution.data, tree, known)
    faults += [
        *resolution.faults,
        *rule_faults(tree, memory_limits=around.memory_limits),
        *_written_url(tree, resolution.filled),
    ]
    problems += [_problem(tree, path, message, around.file) for path, message in dict.fromkeys(faults)]
    if settings is None or problems:
        raise ConfigError(sorted(problems, key=lambda problem: (problem.file != around.file, problem.line or 0)))
    return Builder(settings=settings, tree=tree, resolution=resolution, around=around).config()


def _env_files(tree: Node, lookup: Lookup, file: str) -> list[Problem]:
    """Hand every `env_file` to the lookup; problems without a place get the place of the key."""
    node = tree.child("env_file")
    problems: list[Problem] = []
    for name in (node.items or (node,)) if node is not None else ():
        if not name.text:
            continue  # not a text: the schema complains
        try:
            lookup.add_env_file(name.text)
        except ConfigError as err:
            for problem in err.problems:
                place = _problem(tree, ("env_file",), problem.message, file)
                problems.append(problem if problem.file else place)
    return problems


def _validate(data: Json, tree: Node, known: set[str]) -> tuple[Settings | None, list[tuple[Path, str]]]:
    try:
        return Settings.model_validate(data), []
    except ValidationError as err:
        faults = translate(err.errors(include_url=False), tree)
    return None, [(path, message) for path, message in faults if not _follows(dotted(path), known)]


def _follows(path: str, known: set[str]) -> bool:
    """Whether the fault at `path` is only the echo of one that is known already, at it or below it."""
    return any(other == path or other.startswith((f"{path}.", f"{path}[")) for other in known)


def _written_url(tree: Node, filled: set[Path]) -> Iterator[tuple[Path, str]]:
    """A URL that is written in the file must be one; one that comes from outside is the environment's affair."""
    path: Path = ("supabase", "url")
    node = tree.at(path)
    if node is None or not node.text or path in filled or "$" in node.text:
        return
    complaint = url_fault(node.text.rstrip("/"))
    if complaint:
        yield path, f'"{node.text}" {complaint}'


def _problem(tree: Node, path: Path, message: str, file: str) -> Problem:
    return Problem(file=file, line=tree.line_of(path), path=dotted(path), message=message)
