"""The programs that every contender runs, by their full paths."""

from __future__ import annotations

import shutil


def _path(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"the benchmarks need `{name}` on the PATH")
    return found


NOOP = (_path("true"),)
"""Does nothing and ends well."""
