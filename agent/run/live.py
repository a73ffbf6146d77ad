"""Output for whoever is watching, redacted while it comes."""

from __future__ import annotations

from agent.ports import OutputSink
from agent.run.output import STREAMS
from agent.run.redact import Redactor


class Tee(OutputSink):
    """Feeds `kept` with everything as it is and `live` with what may be seen."""

    def __init__(self, kept: OutputSink, live: OutputSink, redactor: Redactor) -> None:
        self._kept = kept
        self._live = live
        self._redacted = {stream: redactor.stream() for stream in STREAMS}

    def feed(self, stream: str, data: bytes) -> None:
        """Take a chunk."""
        self._kept.feed(stream, data)
        self._show(stream, self._redacted[stream].feed(data))

    def close(self) -> None:
        """Nothing more comes: show what was held back."""
        for stream, redacted in self._redacted.items():
            self._show(stream, redacted.close())

    def _show(self, stream: str, clean: bytes) -> None:
        if clean:
            self._live.feed(stream, clean)
