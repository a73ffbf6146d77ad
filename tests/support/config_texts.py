"""Loading a configuration in a test: a lookup without a machine behind it, and one call."""

from __future__ import annotations

from datetime import UTC, datetime
from textwrap import dedent

import pytest

from agent.config.build import Surroundings
from agent.config.config import Config
from agent.config.loader import load
from agent.errors import ConfigError, Problem
from agent.model import Job

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class FakeLookup:
    """`agent.config.interpolate.Lookup` from three dictionaries; an env file is a dictionary as well."""

    def __init__(self, variables=None, keyring=None, files=None, env_files=None):
        self.variables = dict(variables or {})
        self._keyring = keyring or {}
        self._files = files or {}
        self._env_files = env_files or {}

    def add_env_file(self, path: str) -> None:
        if path not in self._env_files:
            raise ConfigError([Problem(message=f"{path} cannot be read")])
        self.variables = {**self._env_files[path], **self.variables}

    def variable(self, name: str) -> str | None:
        return self.variables.get(name)

    def keyring(self, name: str) -> str:
        return self._found(self._keyring, name)

    def file(self, path: str) -> str:
        return self._found(self._files, path)

    def _found(self, values: dict[str, str], name: str) -> str:
        if name not in values:
            raise ConfigError([Problem(message=f"{name} is not there")])
        return values[name]


def config_of(text: str, lookup: FakeLookup | None = None, **variables: str) -> Config:
    around = Surroundings(file="config.yaml", now=NOW, home="/home/me", timezone="Europe/Paris")
    return load(dedent(text), lookup=lookup or FakeLookup(variables), around=around)


def problems_of(text: str, lookup: FakeLookup | None = None, **variables: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config_of(text, lookup, **variables)
    return [str(problem) for problem in caught.value.problems]


def job_of(body: str, lookup: FakeLookup | None = None, **variables: str) -> Job:
    """The job of `project: p` whose flow mapping is `body`."""
    return config_of(f"project: p\njobs: {{j: {body}}}", lookup, **variables).jobs[0]


def job_problems(body: str, **variables: str) -> list[str]:
    """Messages without `config.yaml:2: jobs.j`."""
    found = problems_of(f"project: p\njobs: {{j: {body}}}", **variables)
    return [problem.removeprefix("config.yaml:2: jobs.j").removeprefix(".") for problem in found]
