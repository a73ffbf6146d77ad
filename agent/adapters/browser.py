"""Opens a page in the person's browser."""

from __future__ import annotations

import contextlib
import sys
import threading
import webbrowser
from collections.abc import Mapping

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def open_in_browser(url: str, environ: Mapping[str, str], *, platform: str = sys.platform) -> bool:
    """False where there is no screen to open it on: a text browser would take over the terminal."""
    if platform != "darwin" and not any(environ.get(name) for name in SCREENS):
        return False
    threading.Thread(target=_open, args=(url,), name="browser", daemon=True).start()  # some stay until they are closed
    return True


def _open(url: str) -> None:
    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(url)
