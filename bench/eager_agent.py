"""The agent that connects again at once: `python -m bench.eager_agent run …`.

A line that is cut again and again would be given up for half a minute each time, and 500 reconnections
take three hours.
"""

from __future__ import annotations

from functools import partial

from agent.adapters.supabase import realtime


def main() -> None:
    """Set the pace, then be the agent."""
    realtime.Pace = partial(realtime.Pace, backoff_s=0.05, backoff_cap_s=0.2)  # type: ignore[misc,assignment]
    from agent.cli.main import main as be_the_agent  # noqa: PLC0415 - after the pace is another one

    be_the_agent()


if __name__ == "__main__":
    main()
