"""Channels, through apprise in a process of its own (courier.py): it costs 29 MiB, and the agent rarely needs it."""

from agent.adapters.notify.channels import AppriseCourier

__all__ = ["AppriseCourier"]
