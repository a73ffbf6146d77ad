"""What only the operating system knows: which machine this is, and its time zone.

The lines for other systems than the one the tests run on are here and in no other adapter.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

_IOREG = ("/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice")
_IOREG_UUID = re.compile(r'"IOPlatformUUID"\s*=\s*"([0-9A-Fa-f-]{36})"')
_RANDOM_NODE = 1 << 40
"""`uuid.getnode` sets the multicast bit where it found no network card and made the number up (RFC 9562, 6.10)."""


def machine_id(
    system: str = sys.platform, *, root: Path = Path("/"), ioreg: Sequence[str] = _IOREG, node: int | None = None
) -> str:
    """The same text on every start of this machine and on no other machine.

    A hash, as machine-id(5) asks for: the id itself is not to be passed on.
    """
    found = _from_ioreg(ioreg) if system == "darwin" else _from_files(root)
    if found is None:
        number = uuid.getnode() if node is None else node
        found = platform.node() if number & _RANDOM_NODE else f"{number:012x}"
    return hashlib.sha256(f"cronmirror:{found}".encode()).hexdigest()[:32]


def local_timezone(environ: Mapping[str, str], *, root: Path = Path("/")) -> str:
    """The machine's IANA zone, `UTC` where it cannot be told: `TZ`, /etc/localtime's target, /etc/timezone."""
    candidates = [
        environ.get("TZ", "").removeprefix(":"),
        os.path.realpath(root / "etc/localtime").rpartition("zoneinfo/")[2],
        _line(root / "etc/timezone") or "",
    ]
    return next((zone for zone in candidates if _is_zone(zone)), "UTC")


def _from_files(root: Path) -> str | None:
    return _line(root / "etc/machine-id") or _line(root / "var/lib/dbus/machine-id")


def _from_ioreg(command: Sequence[str]) -> str | None:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _IOREG_UUID.search(answer.stdout)
    return match[1] if match else None


def _line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _is_zone(name: str) -> bool:
    try:
        return bool(name) and not name.startswith("/") and ZoneInfo(name).key == name
    except (ValueError, OSError, KeyError):
        return False
