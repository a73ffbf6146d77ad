"""What a person does after a start."""

from __future__ import annotations

from agent.cli.local.folder import command
from agent.localstack.home import Home


def next_steps(home: Home, *, nobody: bool) -> list[str]:
    """What a person does now."""
    if not nobody:
        return [f"the dashboard: {home.url}/"]
    return [
        "Nobody can sign in yet. In another terminal:",
        f"  {command(home, 'member', 'you@example.com')}",
        "      you, as admin: asks for a password; then sign in at " + home.url + "/",
        f"  {command(home, 'member', 'box@example.com', '--role', 'agent', '--env-file', 'secrets.env')}",
        "      a user for the agent of this box, and the file that its config.yaml names",
        f"  {command(home, 'env')}",
        "      URL and publishable key, for a page and for supabase-js",
    ]
