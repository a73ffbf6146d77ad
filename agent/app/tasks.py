"""Named, guarded tasks: an eternal loop that ends is never quiet.

`docs/tasks.md` lists every task and who cancels it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from agent.errors import CronmirrorError

log = structlog.get_logger()


class TaskEnded(CronmirrorError):
    """A loop that should run as long as the agent ended; the agent stops so that its supervisor starts it afresh."""

    def __init__(self, name: str, cause: BaseException | None) -> None:
        why = f"{type(cause).__name__}: {cause}" if cause else "it returned"
        super().__init__(
            f"the {name} loop ended: {why}", hint="This is a bug in Cronmirror: please report the log above."
        )
        self.__cause__ = cause


class Loops:
    """The agent's eternal tasks. `failed` is done as soon as one of them ends by itself."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self.failed: asyncio.Future[TaskEnded] = asyncio.get_running_loop().create_future()

    def start(self, name: str, loop: Coroutine[Any, Any, Any]) -> None:
        """Run `loop` as the task `name`."""
        task = asyncio.create_task(loop, name=name)
        self._tasks[name] = task
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            return
        ended = TaskEnded(task.get_name(), task.exception())
        log.critical("loop ended", task=task.get_name(), error=str(ended), exc_info=task.exception())
        if not self.failed.done():
            self.failed.set_result(ended)

    async def stop(self, *names: str) -> None:
        """Cancel these loops (all when none is named) and wait until they are gone."""
        chosen = [self._tasks.pop(name) for name in (names or tuple(self._tasks)) if name in self._tasks]
        for task in chosen:
            task.cancel()
        await asyncio.gather(*chosen, return_exceptions=True)
