"""The box's own memory: one SQLite file with outbox, local history, plans, cursors and notes.

`Journal` is the writer (the agent, and `cronmirror exec` beside it); `read_runs` only looks. It knows no Supabase.
"""

from agent.adapters.sqlite.history import read_run, read_runs
from agent.adapters.sqlite.journal import Journal

__all__ = ["Journal", "read_run", "read_runs"]
