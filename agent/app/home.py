"""Where runs live, for the agent and for `cronmirror exec` alike."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from agent.adapters.python_call import PROGRAM
from agent.adapters.sdnotify import VARIABLES
from agent.config.config import Config
from agent.run.launch import Home


def home_of(config: Config, agent_id: str, environ: Mapping[str, str]) -> Home:
    """Jobs inherit this process' environment, less the agent's own credentials and its line to systemd."""
    return Home(
        project=config.project,
        agent_id=agent_id,
        base_env={name: value for name, value in environ.items() if name not in {*config.withheld_env, *VARIABLES}},
        workdir=str(Path.home()),
        python=sys.executable,
        python_call=PROGRAM,
    )
