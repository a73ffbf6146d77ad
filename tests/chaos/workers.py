"""Rounds beside each other: processes that each have their own stack and take one order after the other."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import queue
import signal
import sys
from collections.abc import Iterator, Sequence
from multiprocessing.queues import Queue

import structlog

from tests.chaos.houses import Houses
from tests.chaos.rounds import Order, Result, play
from tests.chaos.scenario import all_scenarios

_SPAWN = multiprocessing.get_context("spawn")
_LOOK_S = 2.0


def played(orders: Sequence[Order], jobs: int) -> Iterator[Result]:
    """Results as they come; fewer than orders only where a worker died."""
    todo: Queue[Order | None] = _SPAWN.Queue()
    done: Queue[Result] = _SPAWN.Queue()
    for order in [*orders, *[None] * jobs]:
        todo.put(order)
    signal.signal(signal.SIGTERM, _leave)
    workers = [_SPAWN.Process(target=_work, args=(todo, done), name=f"chaos {n}") for n in range(jobs)]
    for worker in workers:
        worker.start()
    try:
        while True:
            alive = any(worker.is_alive() for worker in workers)
            try:
                yield done.get(timeout=_LOOK_S)
            except queue.Empty:
                if not alive:
                    return
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()


def _work(todo: Queue[Order | None], done: Queue[Result]) -> None:
    signal.signal(signal.SIGTERM, _leave)
    quiet = structlog.make_filtering_bound_logger(logging.ERROR)  # the log of the stacks, which are meant to suffer
    structlog.configure(wrapper_class=quiet)
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    scenarios = {each.name: each for each in all_scenarios()}
    houses = Houses()
    try:
        while (order := todo.get()) is not None:
            done.put(asyncio.run(play(order, scenarios[order.scenario], houses)))
    finally:
        houses.close()


def _leave(*_: object) -> None:
    """End as if asked from inside: agents and stacks are taken down on the way."""
    sys.exit(1)
