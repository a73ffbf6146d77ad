"""Output for whoever is watching, beside what is kept for the report."""

from __future__ import annotations

from agent.ports import LiveSink, OutputSink
from agent.run.output import STREAMS
from agent.run.redact import Redactor


class Tee(OutputSink):
    """Feeds both `kept` and `live` with everything as it is."""

    def __init__(self, kept: OutputSink, live: LiveSink) -> None:
        self._kept = kept
        self._live = live

    def feed(self, stream: str, data: bytes) -> None:
        """Take a chunk."""
        self._kept.feed(stream, data)
        self._live.feed(stream, data)

    def close(self) -> None:
        """Nothing more comes."""
        self._live.close()


class Redacting(LiveSink):
    """Shows everything at once, but for secrets and what may become one (`cronmirror exec`)."""

    def __init__(self, shown: OutputSink, redactor: Redactor) -> None:
        self._shown = shown
        self._redacted = {stream: redactor.stream() for stream in STREAMS}

    def feed(self, stream: str, data: bytes) -> None:
        """Take a chunk."""
        self._show(stream, self._redacted[stream].feed(data))

    def close(self) -> None:
        """Nothing more comes: show what was held back."""
        for stream, redacted in self._redacted.items():
            self._show(stream, redacted.close())

    def _show(self, stream: str, clean: bytes) -> None:
        if clean:
            self._shown.feed(stream, clean)
