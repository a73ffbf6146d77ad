"""No database at all: `posix_spawn` of processes that do nothing, up to CONCURRENCY at a time. Nothing is faster.

`python -m bench.rivals.spawn_floor COUNT CONCURRENCY`: `{"per_s": …}`.
"""

from __future__ import annotations

import json
import os
import sys
import time

from bench.programs import NOOP, begin


def drain(count: int, concurrency: int) -> float:
    """Seconds that `count` processes take."""
    began, started, running = time.perf_counter(), 0, 0
    while started < count or running:
        while started < count and running < concurrency:
            begin(NOOP)
            started, running = started + 1, running + 1
        os.wait()
        running -= 1
    return time.perf_counter() - began


if __name__ == "__main__":
    total = int(sys.argv[1])
    print(json.dumps({"per_s": total / drain(total, int(sys.argv[2]))}), flush=True)
