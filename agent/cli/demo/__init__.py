"""`cronmirror demo`: the main job on this machine, with real parts: Postgres, gateway, agent, a signed-in operator."""

from agent.cli.demo.verb import demo

__all__ = ["demo"]
