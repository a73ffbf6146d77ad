"""Under which names this machine may be asked.

A page that rebinds its own DNS name to 127.0.0.1 is same-origin with what listens there; its name stays in `Host`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


def own_name(given: str) -> str:
    """A further name as `is_ours` wants it: a host name or an address, no port, no pattern. Raises `ValueError`.

    A pattern would let in what it is there to keep out: whoever owns a name below it may point it here.
    """
    name = given.strip().lower().removesuffix(".")
    found = _HOST.fullmatch(name)
    if found is None or found["name"] != name:
        raise ValueError(
            f"{given!r} is no host name; it looks like cron.example.com, without https:// and without a port"
        )
    return name


def is_ours(host: str, names: Collection[str] = ()) -> bool:
    """Whether a `Host` header names loopback or one of `names` (as `own_name` gives them; the port may be any)."""
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
