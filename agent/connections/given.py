"""What a run is told that gets no token. Pure."""

from __future__ import annotations

from agent.model import Connection, GivenToken, Standing


def no_token(connection: Connection, problem: str, *, needs_reauth: bool = False) -> GivenToken:
    """None, and why."""
    return GivenToken(
        variable=connection.env, hand_over=connection.hand_over, problem=problem, needs_reauth=needs_reauth
    )


def why_held(standing: Standing) -> str:
    """With what to do about it."""
    why = f" ({standing.last_refresh_error})" if standing.last_refresh_error else ""
    name = standing.connection_id
    return (
        f"Connection {name} needs re-authentication{why}: "
        f"reconnect it in the dashboard, or with `cronmirror connections login {name}`."
    )
