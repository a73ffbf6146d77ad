"""The dashboard of a configured project, served from this machine."""

from __future__ import annotations

import os
from dataclasses import replace

from agent.adapters.browser import open_in_browser
from agent.config.config import Config
from agent.control.dashboard import Dashboard
from agent.control.page import Page
from agent.control.server import LoopbackServer
from agent.control.settings import Settings
from agent.errors import ConfigError


def dashboard_of(config: Config) -> Dashboard:
    """The page with this project's address and public key. Raises `ConfigError`, for a secret key above all."""
    if problems := config.missing_for_run():
        raise ConfigError(problems)
    found = config.supabase
    assert found is not None  # noqa: S101 - missing_for_run said so
    try:
        settings = Settings(url=found.url, key=found.key or "", project=config.project)
    except ConfigError as err:
        raise ConfigError([replace(problem, file=config.file) for problem in err.problems]) from None
    return Dashboard(Page(), lambda: settings)


def serve(dashboard: Dashboard, port: int) -> LoopbackServer:
    """On loopback, while entered. `port` 0: any free one."""
    return LoopbackServer(dashboard, port)


def show(url: str) -> bool:
    """Open the person's browser; False where there is no screen."""
    return open_in_browser(url, os.environ)
