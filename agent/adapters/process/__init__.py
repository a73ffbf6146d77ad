"""Runs commands in sessions of their own, within their limits, and ends everything they started. POSIX only."""

from agent.adapters.process.group import GroupProcesses
from agent.adapters.process.limits import MEMORY_CAN_BE_LIMITED

__all__ = ["MEMORY_CAN_BE_LIMITED", "GroupProcesses"]
