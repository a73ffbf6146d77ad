"""What a run printed: bounded head and tail of each stream, and the end of both as they came.

Takes whatever comes at the price of a copy: secrets are looked for once, at the end, in what was kept plus enough
around it to see a secret that a cut would go through. So a flood costs the same with no secrets and with hundreds.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable, Sequence
from itertools import takewhile

from agent.model import Output
from agent.ports import OutputSink
from agent.run.redact import MASK, Redactor

STREAMS = ("stdout", "stderr")
_LONGEST_CHARACTER = 4
_CONTINUATION = range(0x80, 0xC0)
"""Bytes of a character in UTF-8, and what those after the first look like (RFC 3629)."""


class Capture(OutputSink):
    """The output of one run. `limit` is in bytes: of each stream's text, and of the combined end."""

    def __init__(self, limit: int, redactor: Redactor) -> None:
        self._limit = limit
        self._redactor = redactor
        self._streams = {name: _Stream(limit, redactor.longest) for name in STREAMS}
        self._order: deque[tuple[str, int]] = deque()
        """Who wrote how many bytes, in order of arrival; of the last `limit` bytes."""
        self._ordered = 0

    def feed(self, stream: str, data: bytes) -> None:
        """Take a chunk of `stdout` or `stderr`."""
        self._streams[stream].feed(data)
        count = len(data)
        if self._order and self._order[-1][0] == stream:
            count += self._order.pop()[1]
        self._order.append((stream, count))
        self._ordered += len(data)
        while self._ordered > self._limit:
            self._forget(self._ordered - self._limit)

    def output(self, stream: str) -> Output:
        """Head and tail of one stream, or all of it where that is within the limit."""
        kept = self._streams[stream]
        text, truncated = kept.text(self._redactor)
        return Output(text=text, total_bytes=kept.total, truncated=truncated)

    def tail(self) -> str:
        """The end of both streams in order of arrival, within `limit`; a first line says what was left out."""
        total = sum(kept.total for kept in self._streams.values())
        if not total:
            return ""
        text, shown = _fitting(self._interleaved, self._ordered, self._limit)
        return text if shown == total else _left_out(total - shown) + text

    def _forget(self, count: int) -> None:
        """Drop up to `count` bytes from the front of the order."""
        name, size = self._order.popleft()
        gone = min(size, count)
        if size > gone:
            self._order.appendleft((name, size - gone))
        self._ordered -= gone

    def _interleaved(self, count: int) -> str:
        """The last `count` bytes of both streams."""
        segments, left = [], count
        for name, size in reversed(self._order):
            segments.append((name, min(size, left)))
            left -= segments[-1][1]
        pieces = {name: kept.last(self._redactor) for name, kept in self._streams.items()}
        readers = {
            name: piece.reader(len(piece.data) - sum(size for who, size in segments if who == name))
            for name, piece in pieces.items()
        }
        texts = [readers[name].read(size) for name, size in reversed(segments)]
        return "".join([*texts, *(reader.close() for reader in readers.values())])


class _Stream:
    """Raw first and last bytes of one stream, with `slack` more on each side than will be shown."""

    def __init__(self, limit: int, slack: int) -> None:
        self.total = 0
        self._limit = limit
        self._head = bytearray()
        self._tail = bytearray()
        self._head_size = limit // 2 + slack
        self._tail_size = limit + slack

    def feed(self, data: bytes) -> None:
        self.total += len(data)
        room = self._head_size - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data[-self._tail_size :]
        if len(self._tail) > 2 * self._tail_size:
            del self._tail[: -self._tail_size]

    def text(self, redactor: Redactor) -> tuple[str, bool]:
        """Redacted text within the limit, and whether something was left out."""
        if not self.total:
            return "", False
        last = self.last(redactor)
        if self._whole:
            first = last
            if self.total <= self._limit and _size(text := last.last(self.total)) <= self._limit:
                return text, False
        else:
            first = _Piece(bytes(self._head), redactor, torn_end=True)
        half = self._limit // 2
        begin, begin_bytes = _fitting(first.first, min(half, first.size), half)
        end, end_bytes = _fitting(last.last, min(half, last.size), half)
        newline = "\n" if begin and not begin.endswith("\n") else ""
        return begin + newline + _left_out(self.total - begin_bytes - end_bytes) + end, True

    def last(self, redactor: Redactor) -> _Piece:
        """The end of the stream: all of it where it is still there."""
        if self._whole:
            return _Piece(bytes(self._head + self._tail), redactor)
        return _Piece(bytes(self._tail), redactor, torn_begin=True)

    @property
    def _whole(self) -> bool:
        return len(self._head) + len(self._tail) == self.total


class _Piece:
    """A stretch of raw bytes. At a torn border a part of a secret may stand that cannot be told: it is not shown."""

    def __init__(self, data: bytes, redactor: Redactor, *, torn_begin: bool = False, torn_end: bool = False) -> None:
        unsure = min(max(0, redactor.longest - 1), len(data))
        self.data = data
        self._spans = redactor.spans(data)
        self._begin = unsure if torn_begin else 0
        self._end = len(data) - (unsure if torn_end else 0)
        self.size = max(0, self._end - self._begin)

    def first(self, count: int) -> str:
        """The first `count` bytes; a character that the cut goes through is left out."""
        return self.reader(self._begin).read(count)

    def last(self, count: int) -> str:
        """The last `count` bytes; a character that the cut goes through is left out."""
        reader = self.reader(self._end - count)
        return reader.read(count) + reader.close()

    def reader(self, at: int) -> _Reader:
        """Reads on from byte `at`."""
        return _Reader(self.data, [span for span in self._spans if span[1] > at], at, show_from=self._begin)


class _Reader:
    """Reads bytes as redacted, printable text."""

    def __init__(self, data: bytes, spans: Sequence[tuple[int, int]], at: int, *, show_from: int) -> None:
        self._data = data
        self._spans = deque(spans)
        self._masked = False
        self._at = at
        self._show_from = _next_character(data, max(at, show_from))
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self, count: int) -> str:
        """The next `count` bytes."""
        end, clean = self._at + count, bytearray()
        while self._at < end:
            begin, stop = self._spans[0] if self._spans else (end, end)
            if begin > self._at:
                upto = min(begin, end)
                clean += self._data[max(self._at, self._show_from) : upto]
                self._at = upto
                continue
            clean += b"" if self._masked else MASK
            self._at = min(stop, end)
            self._masked = self._at < stop
            if not self._masked:
                self._spans.popleft()
        return _printable(self._decoder.decode(bytes(clean)))

    def close(self) -> str:
        """What a character that never ended becomes."""
        return _printable(self._decoder.decode(b"", final=True))


def _fitting(read: Callable[[int], str], count: int, budget: int) -> tuple[str, int]:
    """`read(n)` for an `n` up to `count` whose text is within `budget` bytes, and `n`.

    Fewer than `count` only where text is longer than its bytes: U+FFFD takes three for one.
    """
    text = read(count)
    while (size := _size(text)) > budget:
        count = count * budget // size
        text = read(count)
    return text, count


def _next_character(data: bytes, at: int) -> int:
    """`at`, or where the next character begins if `at` is inside of one."""
    if at == 0:
        return 0
    torn = takewhile(_CONTINUATION.__contains__, data[at : at + _LONGEST_CHARACTER - 1])
    return at + sum(1 for _ in torn)


def _size(text: str) -> int:
    return len(text.encode())


def _printable(text: str) -> str:
    """Postgres' text knows no NUL."""
    return text.replace("\0", "\ufffd")


def _left_out(count: int) -> str:
    return f"… {count:,} bytes left out …\n"
