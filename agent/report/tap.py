"""The live output of one run until it is sent: bounded, redacted across borders, text whatever the bytes were.

Raw bytes are kept, at the price of a copy; only what is really sent is looked through for secrets. So a flood costs
neither time nor memory: its middle is left out, with a line that says so.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable
from typing import Final

from agent.ports import LiveSink, StreamRedaction

BUFFER_BYTES: Final = 128 * 1024
"""What may wait to be sent; beyond it the oldest is dropped."""
PIECE_BYTES: Final = 16 * 1024
CAP_BYTES: Final = 1 << 20
"""Of text shown while the run goes on. Then only its end is kept, and shown with its end."""
CAP_PIECES: Final = 10_000
"""The same for small pieces: the server takes 20,000."""
MAX_CHUNKS: Final = 64
"""Where the streams alternate more often than this between two looks, each is put together: order is given up."""
MORE_FOLLOWS: Final = "… more than can be shown live; the end follows when the run is over …\n"

_REST_OF_CHARACTER: Final = 3
_CONTINUATION: Final = bytes(range(0x80, 0xC0))
"""How many bytes of a character in UTF-8 follow its first at most, and what they look like (RFC 3629)."""

_Bytes = bytearray | memoryview
Piece = tuple[str, str]
"""Stream and text."""


class Tap(LiveSink):
    """Fed by the run, emptied by the streamer. `stir` is called when there is something to take, or nothing more."""

    def __init__(self, redaction: StreamRedaction, stir: Callable[[], None]) -> None:
        self._redaction = redaction
        self._stir = stir
        self._chunks: deque[tuple[str, _Bytes]] = deque()
        self._buffered = 0
        self._clean: dict[str, _Clean] = {}
        self._shown = 0
        self._pieces = 0
        self._full = False
        self.total = 0
        """Bytes that the run has printed."""
        self.closed = False

    def feed(self, stream: str, data: bytes) -> None:
        """Take a chunk."""
        self.total += len(data)
        self._clean_of(stream).lost += max(0, len(data) - BUFFER_BYTES)
        self._buffered += min(len(data), BUFFER_BYTES)
        self._append(stream, data)
        while self._buffered > BUFFER_BYTES:
            self._drop(self._buffered - BUFFER_BYTES)
        if len(self._chunks) > MAX_CHUNKS:
            self._collapse()
        self._stir()

    def close(self) -> None:
        """Nothing more comes."""
        self.closed = True
        self._stir()

    @property
    def ready(self) -> bool:
        """Whether `take` would give something, or the end is to be told."""
        return self.closed or (bool(self._chunks) and not self._full)

    @property
    def done(self) -> bool:
        """All of it has been taken."""
        return self.closed and not self._chunks

    def take(self, budget: int) -> list[Piece]:
        """The next pieces, of about `budget` bytes."""
        pieces: list[Piece] = []
        while self._chunks and budget > 0 and (self.closed or not self._full):
            stream, raw = self._next()
            budget -= len(raw)
            if text := self._clean_of(stream).feed(raw):
                self._show(pieces, stream, text)
        if self.done:
            for stream, clean in self._clean.items():
                if text := clean.close():
                    self._show(pieces, stream, text)
        return pieces

    def _append(self, stream: str, data: bytes) -> None:
        """Little ones are put together; of a big one not even a copy is made."""
        if len(data) >= PIECE_BYTES:
            self._chunks.append((stream, memoryview(data)[-BUFFER_BYTES:]))
            return
        name, last = self._chunks[-1] if self._chunks else ("", b"")
        if name == stream and isinstance(last, bytearray) and len(last) < PIECE_BYTES:
            last += data
        else:
            self._chunks.append((stream, bytearray(data)))

    def _show(self, pieces: list[Piece], stream: str, text: str) -> None:
        pieces.append((stream, text))
        self._shown += len(text.encode())
        self._pieces += 1
        if not self._full and not self.closed and (self._shown >= CAP_BYTES or self._pieces >= CAP_PIECES):
            self._full = True
            newline = "" if text.endswith("\n") else "\n"
            self._clean_of(stream).at_line_begin = True
            pieces.append((stream, newline + MORE_FOLLOWS))

    def _next(self) -> tuple[str, bytes]:
        stream, data = self._chunks[0]
        self._cut(PIECE_BYTES)
        return stream, bytes(data[:PIECE_BYTES])

    def _drop(self, count: int) -> None:
        """Lose up to `count` bytes, the oldest."""
        stream, data = self._chunks[0]
        self._clean_of(stream).lost += min(count, len(data))
        self._cut(count)

    def _cut(self, count: int) -> None:
        """Take up to `count` bytes off the oldest chunk."""
        stream, data = self._chunks.popleft()
        self._buffered -= min(count, len(data))
        if len(data) > count:
            self._chunks.appendleft((stream, data[count:]))

    def _collapse(self) -> None:
        streams: dict[str, bytearray] = {}
        for stream, data in self._chunks:
            streams.setdefault(stream, bytearray()).extend(data)
        self._chunks = deque[tuple[str, _Bytes]](streams.items())

    def _clean_of(self, stream: str) -> _Clean:
        if stream not in self._clean:
            self._clean[stream] = _Clean(self._redaction)
        return self._clean[stream]


class _Clean:
    """One stream's bytes as redacted text. `lost` bytes are missing before the next chunk."""

    def __init__(self, redaction: StreamRedaction) -> None:
        self._redaction = redaction
        self.lost = 0
        self._skip = 0
        self.at_line_begin = True
        self._begin()

    def feed(self, raw: bytes) -> str:
        """The next chunk."""
        said = ""
        if self.lost:
            said, raw = self._resume(raw)
        elif self._skip:
            raw = self._skipped(raw)
        return self._seen(said + self._decoder.decode(self._hidden.feed(raw)))

    def close(self) -> str:
        """What was held back, and what becomes of a character that never ended."""
        if self.lost:
            return self._seen(self._resume(b"")[0])
        return self._seen(self._decoder.decode(self._hidden.close(), final=True))

    def _begin(self) -> None:
        self._hidden = self._redaction.stream()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def _resume(self, raw: bytes) -> tuple[str, bytes]:
        """After a gap. What was held back may be the beginning of a secret, what comes first the end of one."""
        self._begin()
        self._skip = max(0, self._redaction.longest - 1)
        before = len(raw)
        raw = self._skipped(raw)
        raw = raw[:_REST_OF_CHARACTER].lstrip(_CONTINUATION) + raw[_REST_OF_CHARACTER:]
        newline = "" if self.at_line_begin else "\n"
        said = f"{newline}… {self.lost + before - len(raw):,} bytes left out …\n"
        self.lost = 0
        return said, raw

    def _skipped(self, raw: bytes) -> bytes:
        gone = min(self._skip, len(raw))
        self._skip -= gone
        return raw[gone:]

    def _seen(self, text: str) -> str:
        if text:
            self.at_line_begin = text.endswith("\n")
        return text.replace("\0", "\ufffd")
