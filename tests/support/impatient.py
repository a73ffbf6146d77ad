"""The agent for which a slot is late after 3 s, not 60: `python -m tests.support.impatient run …`."""

from __future__ import annotations

from datetime import timedelta

from agent.schedule import decisions


def main() -> None:
    """Set the tolerance, then be the agent."""
    decisions.TOLERANCE = timedelta(seconds=3)
    from agent.cli.main import main as be_the_agent  # noqa: PLC0415 - after the tolerance is another one

    be_the_agent()


if __name__ == "__main__":
    main()
