"""`python -m bench [pickup|start]…`: measure, print, and keep the figures in bench/results.json."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
from pathlib import Path

from agent.app.logs import configure
from bench import pickup, start

RESULTS = Path(__file__).parent / "results.json"
MEASURES = {"pickup": pickup.measure, "start": start.measure}


def main() -> None:
    """Measure what was named, everything when nothing was."""
    configure(level="warning", style="console")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["machine"] = {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}
    for name in sys.argv[1:] or MEASURES:
        print(f"── {name}", flush=True)
        results[name] = asyncio.run(MEASURES[name]())
        print(json.dumps(results[name], indent=2), flush=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
