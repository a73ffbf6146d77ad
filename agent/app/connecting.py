"""Connections for a command line, beside an agent that may be running: both go through the same locks and files."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from agent.adapters.files import StateDir
from agent.app.connections import Keeping, keeping
from agent.config.config import Config
from agent.errors import ConfigError, Problem
from agent.model import Connection
from agent.run.redact import Redactor


def open_keeper(config: Config, state: StateDir) -> AbstractAsyncContextManager[Keeping]:
    """The keeper for one command. Raises `StateError`."""
    return keeping(lambda: config, state, Redactor(config.secrets))


def connection_named(config: Config, connection_id: str) -> Connection:
    """The connection of that id. Raises `ConfigError` with those that there are."""
    found = config.connection(connection_id)
    if found is None:
        known = ", ".join(each.connection_id for each in config.connections) or "none"
        message = f'there is no connection "{connection_id}"; there are: {known}'
        raise ConfigError([Problem(file=config.file, path="connections", message=message)])
    return found
