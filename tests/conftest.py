"""Guards that hold for every test: no real home, no keychain, no network beyond loopback."""

from __future__ import annotations

import ipaddress
import itertools
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.support.browser", "tests.support.secrecy", "tests.support.stack"]


def pytest_configure() -> None:
    """A job of a script is born deaf to Ctrl-C, and so would be what it starts: the tests press it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_real_connect = socket.socket.connect


def _loopback_only(self: socket.socket, address: object) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = str(address[0])  # type: ignore[index]
        try:
            allowed = ipaddress.ip_address(host).is_loopback
        except ValueError:
            allowed = host == "localhost"
        if not allowed:
            raise RuntimeError(f"a test tried to reach {address}: tests talk to loopback only")
    return _real_connect(self, address)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Names of homes. Not pytest's own folders: to number one it reads the names of all that there are."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _guards(monkeypatch: pytest.MonkeyPatch, _homes: Iterator[Path]) -> None:
    home = next(_homes)
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(Path, "home", lambda: home)
    for name in [n for n in os.environ if n.startswith(("XDG_", "CRONMIRROR", "SUPABASE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(socket.socket, "connect", _loopback_only)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
