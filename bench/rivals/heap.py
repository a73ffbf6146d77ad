"""Nothing but a heap of instants and a loop that sleeps: no file, no missed slots, no schedules to compute.

`python -m bench.rivals.heap lateness COUNT LEAD_S` or `… scale COUNT IDLE_S` (see `bench.lateness`).
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable

from bench.lateness import Lateness, Scale, later, main

HALF_A_DAY_S = 43_200.0


async def serve(heap: list[tuple[float, int]], run: Callable[[], None]) -> None:
    """Pop what is due, sleep until the next."""
    while heap:
        await asyncio.sleep(heap[0][0] - time.time())
        while heap and heap[0][0] <= time.time():
            heapq.heappop(heap)
            run()


def instants(due: float, count: int) -> list[tuple[float, int]]:
    """A heap of `count` jobs."""
    heap: list[tuple[float, int]] = []
    for number in range(count):
        heapq.heappush(heap, (due, number))
    return heap


async def lateness(count: int, lead_s: float) -> Lateness:
    """All of them due at once."""
    noted = Lateness(due := later(lead_s), count)
    await serve(instants(due, count), noted.note)
    return noted


async def scale(count: int, idle_s: float) -> Scale:
    """None of them due for half a day."""
    figures = Scale()
    heap = instants(time.time() + HALF_A_DAY_S, count)
    figures.loaded()
    serving = asyncio.create_task(serve(heap, lambda: None))
    await figures.rest(idle_s)
    serving.cancel()
    return figures


if __name__ == "__main__":
    main(lateness, scale)
