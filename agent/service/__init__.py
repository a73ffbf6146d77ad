"""Install, remove and show the agent as a launchd or systemd service."""

from agent.service.manager import Manager, ServiceSpec, Shell, Status, for_this_machine

__all__ = ["Manager", "ServiceSpec", "Shell", "Status", "for_this_machine"]
