"""Realtime for the embedded stack: Phoenix channels over a websocket, fed by logical replication."""

from agent.localstack.realtime.channel import ChannelLimits
from agent.localstack.realtime.server import Realtime
from agent.localstack.realtime.session import Limits

__all__ = ["ChannelLimits", "Limits", "Realtime"]
