"""Where the gateway listens: on loopback, or beyond it, then with TLS or with a warning that nobody overlooks."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from agent.errors import StackError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Tls:
    """PEM files: the certificate with its chain, and its private key."""

    certificate: Path
    key: Path

    def check(self) -> None:
        """StackError unless the two belong together."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as err:
            raise StackError(
                f"the certificate {self.certificate} and the key {self.key} cannot be used: {err}",
                hint="PEM files are needed; the key must not be encrypted.",
            ) from err


@dataclass(frozen=True, kw_only=True)
class Listen:
    """An address (`0.0.0.0` and `::` are all of them), and the name it has for others.

    `name`: the host in URLs that are handed out, for instance the one in the certificate; default: the address, or
    loopback where that is all of them.
    """

    host: str = LOOPBACK
    tls: Tls | None = None
    name: str | None = None

    @property
    def exposed(self) -> bool:
        """Whether others than this machine can connect."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() != "localhost"

    @property
    def warning(self) -> str | None:
        """What whoever starts it has to know."""
        if not self.exposed or self.tls:
            return None
        return (
            f"The gateway listens on {self.host} WITHOUT TLS: passwords, keys and rows cross the network in the open, "
            "for everybody on it to read. Give it a certificate, or let it listen on loopback behind a tunnel."
        )

    @property
    def family(self) -> socket.AddressFamily:
        """Of the socket to bind."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def names(self, configured: Collection[str]) -> frozenset[str]:
        """Names to answer under: the configured ones, and this machine's own as soon as others may ask."""
        own = [self.name] if self.name else []
        if self.exposed:
            host = socket.gethostname()
            own += [self.host, host, f"{host.partition('.')[0]}.local"]
        return frozenset(name.lower() for name in (*configured, *own))

    def url(self, port: int) -> str:
        """How others reach it."""
        everywhere = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 # compared, not bound
        host = self.name or everywhere.get(self.host, self.host)
        return f"{'https' if self.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _no_password() -> str:
    raise ValueError("the private key is encrypted")
