"""Files of somebody else, whoever runs the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

STRANGER = 12_345


def given_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`path` belongs to another user now: root gives it away, others become somebody else."""
    if os.geteuid() == 0:
        os.chown(path, STRANGER, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
