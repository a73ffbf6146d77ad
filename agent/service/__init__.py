"""Install, remove and show the agent as a launchd or systemd service."""
