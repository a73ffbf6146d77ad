"""Under which names this machine may be asked.

A page that rebinds its own DNS name to 127.0.0.1 is same-origin with what listens there; its name stays in `Host`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


def is_ours(host: str, names: Collection[str] = ()) -> bool:
    """Whether a `Host` header names loopback or one of `names` (lower case, without a port; the port may be any)."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = found["name"].lower()
    if name == "localhost" or name.endswith(".localhost") or name in names:  # RFC 6761 §6.3
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
