"""Secrets out of texts: plain, base64, URL-encoded and JSON-escaped, in one piece or in a stream of chunks.

A byte is hidden when any form of any secret covers it, so the result does not depend on where a text was cut.
It protects from accidents: a job that disguises a secret on purpose can still print it.
"""

from __future__ import annotations

import base64
import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MIN_LENGTH = 4
"""Shorter values are left alone: hiding every `1` would make output unreadable and hide nothing."""
MASK = b"***"
SHORT = 64
KEPT = 20
"""Secrets of one owner: tokens of the last hours, for a job that began with an old one may still print it."""
CLEAN_KEPT = 1_000
"""So many characters of so many texts are remembered as clean."""

_URL_SAFE = ("", "/", "!*'()", "!~*'();/?:@&=+$,#")
"""What encoders leave as it is: RFC 3986, Python's `quote`, JavaScript's encodeURIComponent and encodeURI."""
_BASE64_SKIP = (0, 2, 3)
"""Leading characters that bytes before the secret have a part in, by how many such bytes precede (modulo 3)."""

Span = tuple[int, int]


class Redactor:
    """Knows the secrets; callable on text (`agent.ports.Redact`). Secrets can be added at any time.

    Those of one `owner` take the place of each other as time goes on (tokens do, every few minutes, for years): the
    newest `KEPT` are hidden, older ones are worth nothing any more. All others stay for good.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lasting: set[bytes] = set()
        self._passing: dict[str, dict[str, set[bytes]]] = {}
        """owner → secret → its forms, oldest first."""
        self._needles: list[bytes] = []
        """Shortest first: a short text is not searched for what cannot be in it."""
        self._clean: set[str] = set()
        """Short texts that have no secret in them: log lines say the same words again and again."""
        self.longest = 0
        """Bytes of the longest form of a secret; 0 without secrets."""
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Hide these too, from now on. Values under `MIN_LENGTH` bytes are ignored."""
        for secret in secrets:
            if _long_enough(secret):
                self._lasting |= _forms(secret)
        self._gather()

    def renew(self, owner: str, secrets: Iterable[str]) -> None:
        """Hide these too; they are the newest of `owner`."""
        known = self._passing.setdefault(owner, {})
        new = [secret for secret in secrets if _long_enough(secret) and secret not in known]
        if not new:
            return
        known.update((secret, _forms(secret)) for secret in new)
        for secret in list(known)[: max(0, len(known) - KEPT)]:
            del known[secret]
        self._gather()

    def _gather(self) -> None:
        passing = (forms for known in self._passing.values() for forms in known.values())
        needles = self._lasting.union(*passing)
        self._needles = sorted(needles, key=len)
        self._clean.clear()
        self.longest = max(map(len, needles), default=0)

    def __call__(self, text: str) -> str:
        """The text with `***` for every secret."""
        if text in self._clean:
            return text
        data = text.encode("utf-8", "surrogatepass")
        if spans := self.spans(data):
            return mask(data, spans).decode("utf-8", "surrogatepass")
        if len(text) <= SHORT:
            if len(self._clean) >= CLEAN_KEPT:
                self._clean.clear()
            self._clean.add(text)
        return text

    def spans(self, data: bytes | bytearray) -> list[Span]:
        """Where secrets are: sorted `(begin, end)`, overlapping ones joined."""
        possible = self._needles[: bisect_right(self._needles, len(data), key=len)]
        return join_spans(found for needle in possible if needle in data for found in _find_all(data, needle))

    def unsure_from(self, data: bytes) -> int:
        """Where the first secret may begin of which only the beginning is in `data`; its end where there is none."""
        earliest = max(0, len(data) - max(0, self.longest - 1))
        firsts = {needle[0] for needle in self._needles}
        for at in range(earliest, len(data)):
            if data[at] in firsts and any(needle.startswith(data[at:]) for needle in self._needles):
                return at
        return len(data)

    def stream(self) -> RedactedStream:
        """A redactor of one stream that comes in chunks."""
        return RedactedStream(self)


class RedactedStream:
    """One stream of bytes, redacted as it comes; holds back only what may be the beginning of a secret.

    The pieces together equal the redaction of the whole, whatever the chunks were.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = b""
        self._covered = 0
        """Bytes at the beginning of `_held` that belong to a secret whose mask has already been given out."""

    def feed(self, data: bytes) -> bytes:
        """Take a chunk, return what is certain to be clean."""
        held = self._held + data
        return self._give(held, self._redactor.unsure_from(held))

    def close(self) -> bytes:
        """Return the rest."""
        return self._give(self._held, len(self._held))

    def _give(self, data: bytes, upto: int) -> bytes:
        """Everything before `upto`: a secret that begins before it ends within `data`, so it has been found."""
        known = [(0, self._covered)] if self._covered else []
        spans = join_spans([*known, *self._redactor.spans(data)])
        begun = [(begin, min(end, upto)) for begin, end in spans if begin < upto]
        clean = mask(data[:upto], begun)
        if self._covered and upto:
            clean = clean[len(MASK) :]
        last = max((end for begin, end in spans if begin < upto), default=0)
        if upto:
            self._covered = max(0, last - upto)
        self._held = data[upto:]
        return clean


def mask(data: bytes | bytearray, spans: Iterable[Span]) -> bytes:
    """`data` with one mask in place of each span."""
    parts, at = [], 0
    for begin, end in spans:
        parts += [bytes(data[at:begin]), MASK]
        at = end
    return b"".join([*parts, bytes(data[at:])])


def join_spans(spans: Iterable[Span]) -> list[Span]:
    """Sorted, with overlapping spans made one; spans that only touch stay two."""
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if joined and begin < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def _find_all(data: bytes | bytearray, needle: bytes) -> Iterator[Span]:
    at = data.find(needle)
    while at >= 0:
        yield at, at + len(needle)
        at = data.find(needle, at + 1)


def _long_enough(secret: str) -> bool:
    return len(secret.encode("utf-8", "surrogateescape")) >= MIN_LENGTH


def _forms(secret: str) -> set[bytes]:
    """Every spelling of a secret that is looked for."""
    raw = secret.encode("utf-8", "surrogateescape")
    escaped = [json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)]
    urls = [quote(raw, safe=safe) for safe in _URL_SAFE] + [quote_plus(raw)]
    texts = {*escaped, *urls, *map(_lower_hex, urls)}
    return {raw, *(text.encode("utf-8", "surrogateescape") for text in texts), *_base64_forms(raw)}


def _lower_hex(url: str) -> str:
    """Percent escapes in lower case, as some encoders write them."""
    first, *rest = url.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in rest)])


def _base64_forms(raw: bytes) -> set[bytes]:
    """The secret alone, and the characters it alone decides when it stands inside of something larger."""
    forms = {base64.b64encode(raw)}
    for before, skip in enumerate(_BASE64_SKIP):
        encoded = base64.b64encode(bytes(before) + raw)
        forms.add(encoded[skip : (before + len(raw)) * 8 // 6])
    urlsafe = {form.translate(bytes.maketrans(b"+/", b"-_")) for form in forms}
    return {form for form in forms | urlsafe if len(form) >= MIN_LENGTH}
