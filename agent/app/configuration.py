"""The configuration as the running agent has it: read, kept through bad edits, read again when a file changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from agent.adapters.files import StateDir
from agent.adapters.secrets import Secrets
from agent.app.reading import Reading, parse_config, read_config
from agent.config.config import Config
from agent.config.reload import Catalogue, Reloader
from agent.errors import ConfigError
from agent.run.redact import Redactor

log = structlog.get_logger()


class Configuration:
    """A catalogue of jobs and what keeps it current. Every secret it ever held is in `redactor`."""

    def __init__(self, path: Path, state: StateDir, environ: Mapping[str, str], catalogue: Catalogue) -> None:
        self._path = path
        self._state = state
        self._environ = environ
        self._watch: Any = None
        self._text = ""
        self.catalogue = catalogue
        self.redactor = Redactor(catalogue.config.secrets if catalogue.config else ())
        self.reloader = Reloader(catalogue, self._load, self._keep)

    @classmethod
    def open(cls, path: Path, state: StateDir, environ: Mapping[str, str]) -> Configuration:
        """Read the file; when it is broken, start on the last good one. Raises `ConfigError` when there is neither."""
        try:
            reading = read_config(path, environ, private=True)
        except ConfigError as err:
            catalogue = cls._last_good(path, state, environ, err)
        else:
            catalogue = Catalogue(reading.config)
            state.keep_config(reading.text)
            for warning in reading.config.warnings:
                log.warning("configuration warning", problem=str(warning))
        return cls(path, state, environ, catalogue)

    @staticmethod
    def _last_good(path: Path, state: StateDir, environ: Mapping[str, str], broken: ConfigError) -> Catalogue:
        text = state.last_good_config
        if text is None:
            raise broken
        try:
            reading = parse_config(text, path, environ)
        except ConfigError:
            raise broken from None
        log.error("the configuration is broken; starting on the last good one", problems=len(broken.problems))
        for problem in broken.problems:
            log.error("configuration problem", problem=str(problem))
        return Catalogue(reading.config, error=broken)

    async def run(self, watcher: Callable[[list[Path]], Any], told: Callable[[], None]) -> None:
        """Reload after changes, until cancelled. `told`: `config_error` is another one now."""
        self._watch = watcher([self._path])
        await self.reloader.run(self._watch.changes(), told)

    async def _load(self) -> Config:
        """Read in a thread: a keyring may ask the person."""
        lookup = Secrets(self._path.parent, self._environ)
        try:
            reading: Reading = await asyncio.to_thread(
                read_config, self._path, self._environ, private=True, lookup=lookup
            )
        finally:  # a mistake may be in an env file: mending it must be noticed as well
            self._watch.follow([self._path, *lookup.files])
        self._text = reading.text
        self.redactor.add(reading.config.secrets)
        return reading.config

    async def _keep(self, _config: Config) -> None:
        await asyncio.to_thread(self._state.keep_config, self._text)
