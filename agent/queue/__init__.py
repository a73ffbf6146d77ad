"""Requests: woken, claimed, handed to the runner."""
