"""Killed between receiving a rotated token and using it; `make connections` does so 100 times (`KILLS=`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.connections.killing import Killing


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_killed_keeper_is_never_locked_out(tmp_path: Path) -> None:
    killing = Killing(kills=5)

    assert await killing.run(tmp_path / "connections") is None
    assert killing.survived == 5
