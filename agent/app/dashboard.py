"""The dashboard of a configured project, served from this machine."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from agent.adapters.browser import open_in_browser
from agent.config.config import Config
from agent.control.dashboard import Dashboard
from agent.control.export import export
from agent.control.page import Page
from agent.control.server import LoopbackServer
from agent.control.settings import Settings
from agent.errors import ConfigError


def dashboard_of(config: Config) -> Dashboard:
    """The page with this project's address and public key. Raises `ConfigError`, for a secret key above all."""
    settings = _settings(config)
    return Dashboard(Page(), lambda: settings)


def export_to(folder: Path, config: Config) -> int:
    """Write the same as files for a static host; how many. Raises as above, and `PermanentError` as `export` does."""
    return export(Page(), _settings(config), folder)


def _settings(config: Config) -> Settings:
    if problems := config.missing_for_run():
        raise ConfigError(problems)
    found = config.supabase
    assert found is not None  # noqa: S101 - missing_for_run said so
    try:
        return Settings(url=found.url, key=found.key or "", project=config.project)
    except ConfigError as err:
        raise ConfigError([replace(problem, file=config.file) for problem in err.problems]) from None


def serve(dashboard: Dashboard, port: int, names: Collection[str] = ()) -> LoopbackServer:
    """On loopback, while entered. `port` 0: any free one. `names`: further host names, of a proxy or a tunnel."""
    return LoopbackServer(dashboard, port, names=names)


def show(url: str) -> bool:
    """Open the person's browser; False where there is no screen."""
    return open_in_browser(url, os.environ)
