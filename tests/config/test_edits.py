"""The pieces together, as app/ joins them: a real file, its env file, the watch, the last good copy."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.adapters.files import StateDir, ensure_private_enough, read_config
from agent.adapters.secrets import Secrets
from agent.adapters.watch import FileWatch
from agent.config.build import Surroundings
from agent.config.config import Config
from agent.config.loader import load
from agent.config.reload import Catalogue, Reloader
from agent.errors import ConfigError
from tests.support.waiting import wait_until


class Box:
    """A machine with one configuration file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "config.yaml"
        self.env = folder / "secrets.env"
        self.state = StateDir(folder / "state")
        self.watch = FileWatch([self.path])
        self.text = ""

    def write(self, text: str) -> None:
        self.path.write_text(text)
        self.path.chmod(0o600)

    def read(self, text: str | None = None) -> Config:
        """`text`: of the last good copy, instead of the file."""
        ensure_private_enough(self.path)
        self.text = read_config(self.path) if text is None else text
        secrets = Secrets(self.path.parent, {})
        around = Surroundings(file=self.path.name, now=datetime.now(UTC), home="/home/me", timezone="UTC")
        try:
            return load(self.text, lookup=secrets, around=around)
        finally:
            self.watch.follow([self.path, *secrets.files])

    async def load(self) -> Config:
        return await asyncio.to_thread(self.read)

    async def keep(self, _config: Config) -> None:
        await asyncio.to_thread(self.state.keep_config, self.text)


@pytest.fixture
def box(tmp_path) -> Box:
    tmp_path.chmod(0o700)
    return Box(tmp_path)


async def test_edits_of_the_file_and_of_its_env_file_take_effect(box):
    box.env.write_text("NAME=first-secret\n")
    box.env.chmod(0o600)
    box.write("project: p\nenv_file: secrets.env\njobs: {a: {run: [echo], env: {X: '${NAME}'}}}\n")
    catalogue = Catalogue(box.read())
    task = asyncio.create_task(Reloader(catalogue, box.load, box.keep).run(box.watch.changes()))
    assert catalogue.config.secrets == {"first-secret"}

    box.env.write_text("NAME=second-secret\n")
    await wait_until(lambda: catalogue.config.secrets == {"second-secret"})

    box.write("project: p\njobs: {a: {run: [echo]}, b: {run: echo}}\n")
    await wait_until(lambda: catalogue.config_error)
    assert "config.yaml:2: jobs.b.run" in catalogue.config_error
    assert [job.id for job in catalogue.all()] == ["a"]

    box.write("project: p\njobs: {a: {run: [echo]}, b: {run: [echo]}}\n")
    await wait_until(lambda: catalogue.get("b"))
    assert catalogue.config_error is None
    await wait_until(lambda: "b: {run: [echo]}" in (box.state.last_good_config or ""))
    task.cancel()
    await asyncio.wait([task])


def test_a_broken_file_at_start_leaves_the_last_good_copy_in_force(box):
    box.write("project: p\njobs: {a: {run: [echo]}}\n")
    box.read()
    box.state.keep_config(box.text)
    box.write("project: [\n")
    with pytest.raises(ConfigError) as caught:
        box.read()
    catalogue = Catalogue(box.read(box.state.last_good_config), error=caught.value)
    assert catalogue.valid
    assert [job.id for job in catalogue.all()] == ["a"]
    assert "config.yaml:2: not YAML" in catalogue.config_error


def test_a_file_that_others_can_write_is_not_even_read(box):
    box.write("project: p\n")
    box.path.chmod(0o666)
    with pytest.raises(ConfigError, match="can be written by others"):
        box.read()
