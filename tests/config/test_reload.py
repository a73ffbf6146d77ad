"""The configuration in force through good and bad edits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from agent.config.config import Config
from agent.config.reload import Catalogue, Reloader
from agent.errors import ConfigError, Problem, StateError
from agent.ports import Jobs
from tests.support.clock import settle
from tests.support.config_texts import config_of

ONE = config_of("project: p\njobs: {a: {run: [x]}}")
TWO = config_of("project: p\njobs: {a: {run: [x]}, b: {run: [y], at: 2020-01-01T00:00}}")
BAD = ConfigError([Problem(file="c.yaml", line=3, path="jobs.a", message="is wrong"), Problem(message="and more")])


class Editor:
    """The file, the disk and the watcher of a Reloader."""

    def __init__(self, *readings: Config | ConfigError) -> None:
        self.readings = list(readings)
        self.kept: list[Config] = []
        self.disk_full = False
        self._edits: asyncio.Queue[None] = asyncio.Queue()

    async def load(self) -> Config:
        reading = self.readings.pop(0)
        if isinstance(reading, ConfigError):
            raise reading
        return reading

    async def keep(self, config: Config) -> None:
        if self.disk_full:
            raise StateError("no space left")
        self.kept.append(config)

    def save(self) -> None:
        self._edits.put_nowait(None)

    async def changes(self) -> AsyncIterator[None]:
        while True:
            yield await self._edits.get()


def test_the_catalogue_answers_for_the_configuration_in_force():
    jobs: Jobs = Catalogue(ONE)
    assert (jobs.revision, jobs.valid, [job.id for job in jobs.all()]) == (1, True, ["a"])
    assert jobs.get("a") is ONE.jobs[0]
    assert jobs.get("b") is None


def test_jobs_of_agents_with_other_tags_are_not_in_it():
    text = (
        "project: p\nagent: {{id: m, tags: {}}}\njobs: {{a: {{run: [x], runs_on: {{tags: [gpu]}}}}, b: {{run: [y]}}}}"
    )
    without, with_tag = config_of(text.format("[big]")), config_of(text.format("[big, gpu]"))
    catalogue = Catalogue(without)
    assert [job.id for job in catalogue.all()] == ["b"]
    assert catalogue.get("a") is None
    assert without.lacking(without.jobs[0]) == {"gpu"}
    assert catalogue.accept(with_tag)  # tags are read at the start, as the reload says
    assert [job.id for job in catalogue.all()] == ["b"]
    assert without.restart_needed(with_tag) == ("agent",)
    assert [job.id for job in Catalogue(with_tag).all()] == ["a", "b"]
    late = Catalogue(None, error=BAD)
    late.accept(with_tag)
    assert [job.id for job in late.all()] == ["a", "b"]


def test_without_any_valid_configuration_there_are_no_jobs_and_no_deletions():
    catalogue = Catalogue(None, error=BAD)
    assert (catalogue.valid, catalogue.all(), catalogue.get("a"), catalogue.config) == (False, (), None, None)
    assert catalogue.accept(ONE)
    assert (catalogue.valid, catalogue.revision) == (True, 2)


def test_a_start_on_the_last_good_copy_is_valid_and_tells_why():
    catalogue = Catalogue(ONE, error=BAD)
    assert catalogue.valid
    assert catalogue.config_error == "c.yaml:3: jobs.a: is wrong (and 1 more)"


def test_the_same_configuration_again_is_no_change_but_ends_the_error():
    catalogue = Catalogue(ONE)
    catalogue.reject(ConfigError([Problem(message="is wrong")]))
    assert catalogue.config_error == "is wrong"
    assert not catalogue.accept(config_of("project: p\njobs: {a: {run: [x]}}"))
    assert (catalogue.revision, catalogue.config_error) == (1, None)


async def test_everybody_who_waits_learns_of_a_new_revision():
    catalogue = Catalogue(ONE)
    assert await catalogue.wait_changed(0) == 1
    waiting = [asyncio.create_task(catalogue.wait_changed(1)) for _ in range(2)]
    await settle()
    catalogue.reject(BAD)
    await settle()
    assert not any(task.done() for task in waiting)
    catalogue.accept(TWO)
    assert await asyncio.gather(*waiting) == [2, 2]


@pytest.fixture
async def running(request):
    editor = Editor(*request.param)
    catalogue = Catalogue(ONE)
    reloader = Reloader(catalogue, editor.load, editor.keep)
    task = asyncio.create_task(reloader.run(editor.changes()))
    await settle()
    yield editor, catalogue, reloader
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("running", [(BAD, TWO)], indirect=True)
async def test_a_bad_edit_keeps_the_last_good_one_and_a_good_edit_replaces_it(running):
    editor, catalogue, _ = running
    with capture_logs() as logs:
        editor.save()
        await settle()
    assert catalogue.config is ONE
    assert catalogue.config_error == "c.yaml:3: jobs.a: is wrong (and 1 more)"
    assert editor.kept == []
    told = [entry["problem"] for entry in logs if entry["event"] == "configuration problem"]
    assert told == ["c.yaml:3: jobs.a: is wrong", "and more"]

    with capture_logs() as logs:
        editor.save()
        await settle()
    assert (catalogue.config, catalogue.revision, catalogue.config_error) == (TWO, 2, None)
    assert editor.kept == [TWO]
    assert [entry["event"] for entry in logs] == ["configuration accepted", "configuration warning"]


@pytest.mark.parametrize("running", [(TWO,)], indirect=True)
async def test_sighup_takes_the_same_path(running):
    _, catalogue, reloader = running
    reloader.reload_now()
    reloader.reload_now()
    await settle()
    assert catalogue.revision == 2


@pytest.mark.parametrize("running", [(ONE,)], indirect=True)
async def test_an_edit_that_changes_nothing_is_not_kept_again(running):
    editor, catalogue, _ = running
    editor.save()
    await settle()
    assert (catalogue.revision, editor.kept, editor.readings) == (1, [], [])


@pytest.mark.parametrize("running", [(TWO,)], indirect=True)
async def test_a_full_disk_does_not_keep_a_good_edit_out_of_force(running):
    editor, catalogue, _ = running
    editor.disk_full = True
    with capture_logs() as logs:
        editor.save()
        await settle()
    assert catalogue.config is TWO
    assert "last good configuration not kept on disk" in [entry["event"] for entry in logs]


async def test_what_needs_a_restart_is_said():
    other = replace(ONE, project="q", agent_id="x", drain_timeout_s=1)
    editor, catalogue = Editor(other), Catalogue(ONE)
    with capture_logs() as logs:
        assert await Reloader(catalogue, editor.load, editor.keep).reload()
    assert [entry["sections"] for entry in logs if "sections" in entry] == ["project, agent, drain_timeout"]


async def test_the_first_configuration_after_none_needs_no_restart():
    editor, catalogue = Editor(ONE), Catalogue(None)
    with capture_logs() as logs:
        assert await Reloader(catalogue, editor.load, editor.keep).reload()
    assert [entry["event"] for entry in logs] == ["configuration accepted"]
