"""Any static host: a folder over HTTP on loopback, and nothing else, as whoever rents a web space has it."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from pathlib import Path
from typing import Any, Self

from agent.control.page import BUILT


class StaticHost:
    """The built page below `path`, with `config.json` beside it where one is given."""

    def __init__(self, folder: Path, config: dict[str, Any] | None = None, path: str = "tools/cron") -> None:
        shutil.copytree(BUILT, folder / path)
        if config is not None:
            (folder / path / "config.json").write_text(json.dumps(config))
        handler = functools.partial(_Quiet, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.home = f"http://127.0.0.1:{self._server.server_port}/{path}/"
        """Where the page is, with a slash at its end."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nobody reads it."""
