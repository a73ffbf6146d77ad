"""The configuration in force, replaced whole by a good edit and kept through a bad one.

`Catalogue` is what the stages see (`ports.Jobs`); `Reloader` reads the file again when it changed or SIGHUP came.
Reading itself (files, secrets, keyring) is the caller's `load`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import structlog

from agent.config.config import Config
from agent.errors import ConfigError, StateError
from agent.model import Job

Load = Callable[[], Awaitable[Config]]
"""Reads the file; raises `ConfigError`."""
Keep = Callable[[Config], Awaitable[None]]
"""Called after a good edit, to keep it on disk as the last good one; may raise `StateError`."""
Told = Callable[[], None]
"""Called when `config_error` has changed: pages should not wait for the next beat to show it."""

_log = structlog.get_logger()


class Catalogue:
    """`ports.Jobs`: the jobs of the last good configuration. `config=None`: there never was one.

    Jobs whose `runs_on` wants a tag that this agent has not are left out here, so that no stage knows them. The tags
    are those of the start, like everything under `agent:`.
    """

    def __init__(self, config: Config | None, *, error: ConfigError | None = None) -> None:
        """`error`: why the file is not what is in force (the agent started on a last good copy, or on nothing)."""
        self._revision = 1
        self._changed = asyncio.Event()
        self._config_error = _summary(error) if error else None
        self._tags = config.agent_tags if config else None
        self._put(config)

    @property
    def config(self) -> Config | None:
        """The configuration in force."""
        return self._config

    @property
    def config_error(self) -> str | None:
        """Why the file as it is now is not in force (first problem and count), for the beat; None when it is."""
        return self._config_error

    @property
    def revision(self) -> int:
        """Grows by one with every accepted change; from 1."""
        return self._revision

    @property
    def valid(self) -> bool:
        """Whether there ever was a valid configuration, on disk or now."""
        return self._config is not None

    def get(self, job_id: str) -> Job | None:
        """The job, or None."""
        return self._by_id.get(job_id)

    def all(self) -> Sequence[Job]:
        """Every job that this agent serves, in file order."""
        return self._served

    async def wait_changed(self, revision: int) -> int:
        """Return the new revision as soon as it is no longer `revision`."""
        while self._revision == revision:
            await self._changed.wait()
        return self._revision

    def accept(self, config: Config) -> bool:
        """Put a good configuration in force; False when it says what was in force before."""
        self._config_error = None
        if config == self._config:
            return False
        self._put(config)
        self._revision += 1
        self._changed.set()
        self._changed = asyncio.Event()
        return True

    def reject(self, error: ConfigError) -> None:
        """Keep what is in force and remember why the file is not."""
        self._config_error = _summary(error)

    def _put(self, config: Config | None) -> None:
        if self._tags is None and config:
            self._tags = config.agent_tags
        self._config = config
        self._served = tuple(job for job in config.jobs if job.runs_on <= (self._tags or frozenset())) if config else ()
        self._by_id = {job.id: job for job in self._served}
        if config and (others := len(config.jobs) - len(self._served)):
            _log.info("jobs are left to agents with other tags", jobs=others, tags=sorted(self._tags or ()))


class Reloader:
    """Reads the configuration again when asked."""

    def __init__(self, catalogue: Catalogue, load: Load, keep: Keep) -> None:
        self._catalogue = catalogue
        self._load = load
        self._keep = keep
        self._asked = asyncio.Event()

    def reload_now(self) -> None:
        """Ask for a reload (SIGHUP). Returns at once."""
        self._asked.set()

    async def run(self, changes: AsyncIterator[object], told: Told = lambda: None) -> None:
        """Reload after every change and every `reload_now()`, one at a time. Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(changes), name="config changes")
            while True:
                await self._asked.wait()
                self._asked.clear()
                shown = self._catalogue.config_error
                await self.reload()
                if self._catalogue.config_error != shown:
                    told()

    async def reload(self) -> bool:
        """Read once; whether the file is in force now."""
        try:
            config = await self._load()
        except ConfigError as err:
            self._catalogue.reject(err)
            _log.error("configuration not accepted, the last good one stays in force", problems=len(err.problems))
            for problem in err.problems:
                _log.error("configuration problem", problem=str(problem))
            return False
        before = self._catalogue.config
        if self._catalogue.accept(config):
            _tell(before, config, self._catalogue.revision)
            await self._save(config)
        else:
            _log.debug("configuration read again, nothing has changed")
        return True

    async def _listen(self, changes: AsyncIterator[object]) -> None:
        async for _ in changes:
            self._asked.set()

    async def _save(self, config: Config) -> None:
        try:
            await self._keep(config)
        except StateError as err:
            _log.warning("last good configuration not kept on disk", error=str(err))


def _tell(before: Config | None, config: Config, revision: int) -> None:
    _log.info("configuration accepted", revision=revision, jobs=len(config.jobs))
    for problem in config.warnings:
        _log.warning("configuration warning", problem=str(problem))
    later = before.restart_needed(config) if before else ()
    if later:
        _log.warning("some changes take effect after a restart", sections=", ".join(later))


def _summary(error: ConfigError) -> str:
    first, more = str(error.problems[0]), len(error.problems) - 1
    return f"{first} (and {more} more)" if more else first
