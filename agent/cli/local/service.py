"""What the service manager is told about a stack."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from agent.cli.local.folder import home_in
from agent.cli.services import service_environment, service_path
from agent.localstack.home import Home
from agent.service import ServiceSpec

STOP_S = 20.0


def spec_of(home: Home) -> ServiceSpec:
    """A name of its own for each folder; the usual one is `stack`."""
    usual = home.folder == home_in(None).folder
    name = "stack" if usual else f"stack-{hashlib.sha256(str(home.folder).encode()).hexdigest()[:8]}"
    return ServiceSpec(
        kind="local",
        project=name,
        python=Path(sys.executable),
        state_dir=home.folder,
        home=Path(service_environment(os.environ)["HOME"]),
        path=service_path(os.environ),
        drain_timeout_s=STOP_S,
    )
