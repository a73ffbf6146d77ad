"""Measurements behind docs/benchmarks.md: `python -m bench`, on loopback, bounded in time and count."""
