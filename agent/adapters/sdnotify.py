"""Tells systemd how the service is: sd_notify(3), a datagram of `NAME=value` lines to a Unix socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

import structlog

log = structlog.get_logger()

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""For the service's own process: a job must not inherit them and speak in its name."""


class SystemdNotify:
    """Says nothing where `NOTIFY_SOCKET` is not set."""

    def __init__(self, environ: Mapping[str, str], *, pid: int | None = None) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        wanted = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", "") in ("", str(pid or os.getpid()))
        self.watchdog_s = int(wanted) / 1e6 if self.listening and ours and wanted.isdigit() and int(wanted) else None
        """systemd ends the service when it has not heard `WATCHDOG=1` for so long; None: it does not."""

    @property
    def listening(self) -> bool:
        """Whether somebody wants to know."""
        return bool(self._address)

    def say(self, **facts: str) -> None:
        """`say(READY="1", STATUS="3 jobs")`. Never raises and never waits."""
        if not self.listening:
            return
        text = "\n".join(f"{name}={value}".replace("\n", " ") for name, value in facts.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
                speaker.settimeout(0)
                speaker.sendto(text.encode(), self._address)
        except OSError as err:
            log.debug("systemd did not hear us", error=str(err))
