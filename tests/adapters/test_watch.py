"""Changes are told however the editor writes, on a real file system."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import watchfiles

from agent.adapters.watch import FileWatch
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(60)


class Told:
    """Collects what a watch tells."""

    def __init__(self, watch: FileWatch) -> None:
        self.items: list[frozenset[Path]] = []
        self._watch = watch

    async def collect(self) -> None:
        async with aclosing(self._watch.changes()) as changes:
            async for changed in changes:
                self.items.append(changed)

    @property
    def paths(self) -> set[Path]:
        return {path for item in self.items for path in item}

    async def stands(self, probe: Path) -> None:
        """The watch has begun: it tells of a write to `probe`."""

        def told() -> bool:
            probe.write_text("x")
            return probe in self.paths

        await wait_until(told, every=0.3)
        self.items.clear()


@pytest.fixture
async def watched(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    watch = FileWatch([folder / "c.yaml"])
    told = Told(watch)
    task = asyncio.create_task(told.collect())
    yield folder / "c.yaml", watch, told
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_log_that_grows_in_the_same_folder_neither_tells_anything_nor_keeps_the_rest_from_being_told(watched):
    path, watch, told = watched
    log = path.with_name("agent.log")

    def write() -> None:
        with log.open("a") as file:
            file.write("another line\n")

    def grown(condition):
        def look() -> bool:
            write()
            return condition()

        return look

    await wait_until(grown(lambda: told.items))
    other = path.with_name("agent.env")
    watch.follow([path, other])
    told.items.clear()
    await wait_until(grown(lambda: told.items))
    other.write_text("A=1")
    await wait_until(grown(lambda: other in told.paths))
    moved = path.parent.rename(path.parent.with_name("moved"))
    path.parent.mkdir()
    log = moved / "agent.log"
    told.items.clear()
    await wait_until(grown(lambda: told.items))
    path.write_text("x")
    await wait_until(grown(lambda: path in told.paths))
    assert log not in told.paths


async def test_a_file_written_in_place_renamed_over_or_removed_is_told(watched):
    path, _, told = watched
    await told.stands(path)
    temporary = path.with_name(".c.yaml.swp")
    temporary.write_text("new")
    await wait_until(lambda: temporary.rename(path) if temporary.exists() else path in told.paths)
    told.items.clear()
    path.unlink()
    await wait_until(lambda: path in told.paths)


async def test_other_files_of_the_folder_are_not_told(watched):
    path, _, told = watched
    await told.stands(path)
    (path.parent / "other.yaml").write_text("x")
    path.write_text("y")
    await wait_until(lambda: path in told.paths)
    assert told.paths == {path}


async def test_something_is_told_after_the_watch_stands_even_without_a_change(watched):
    _, _, told = watched
    await wait_until(lambda: told.items)
    assert told.items[0] == frozenset()


async def test_the_set_of_files_may_change(watched, tmp_path):
    path, watch, told = watched
    await told.stands(path)
    other = tmp_path / "secrets.env"
    watch.follow([path, other])
    await told.stands(other)
    watch.follow([path, other])
    path.write_text("z")
    await wait_until(lambda: path in told.paths)


async def test_the_target_of_a_link_is_watched_too(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    target, link = tmp_path / "real" / "c.yaml", tmp_path / "links" / "c.yaml"
    link.symlink_to(target)
    told = Told(FileWatch([link]))
    task = asyncio.create_task(told.collect())
    await told.stands(target)
    task.cancel()
    await asyncio.wait([task])


async def test_a_folder_removed_and_made_again_is_watched_again(watched):
    path, _, told = watched
    await told.stands(path)
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    await told.stands(path)


async def test_without_file_watches_it_looks_once_a_second(tmp_path, monkeypatch):
    path = tmp_path / "c.yaml"
    polled = []

    def awatch(*folders: Path, force_polling: bool, **options: Any) -> Any:
        if not force_polling:
            raise OSError(28, "inotify watch limit reached")
        polled.append(folders)
        return watchfiles.awatch(*folders, force_polling=True, **options)

    monkeypatch.setattr("agent.adapters.watch.awatch", awatch)
    told = Told(FileWatch([path]))
    task = asyncio.create_task(told.collect())
    await told.stands(path)
    task.cancel()
    await asyncio.wait([task])
    assert polled == [(tmp_path,)]


async def test_what_polling_cannot_do_either_is_raised(tmp_path, monkeypatch):
    def awatch(*_folders: Path, **_options: Any) -> Any:
        raise OSError(24, "too many open files")

    monkeypatch.setattr("agent.adapters.watch.awatch", awatch)
    with pytest.raises(OSError, match="too many open files"):
        await Told(FileWatch([tmp_path / "c.yaml"])).collect()


async def test_a_folder_that_is_not_there_yet_is_watched_when_it_is(tmp_path):
    path = tmp_path / "later" / "c.yaml"
    told = Told(FileWatch([path]))
    task = asyncio.create_task(told.collect())
    await wait_until(lambda: told.items)
    path.parent.mkdir()
    await told.stands(path)
    task.cancel()
    await asyncio.wait([task])
