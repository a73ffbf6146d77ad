"""Secrets that are recognised wherever they turn up: each begins and ends with the same unlikely word.

Tests never write the word itself: who looks for it in a shell would be taken for a leak.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from authlib.common.security import generate_token

MARK = "qX7leakedSecretZ"
"""Letters and digits alone: no escaping of any format changes it."""
LOOK_EVERY_S = 0.2


class Kind(StrEnum):
    """What a secret is; two letters before each of its marks."""

    ACCESS = "at"
    REFRESH = "rt"
    CODE = "ac"
    DEVICE = "dc"
    CLIENT = "cs"


def marked(kind: Kind, tag: str = "") -> str:
    """A new secret. However it is cut in two, one of the pieces has a whole mark; `tag` is in all of one provider."""
    return f"{kind}-{MARK}-{tag}{generate_token(32)}-{kind}-{MARK}"


# ── in bytes ────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class Found:
    """One mark. `kind` is None where it was in Base64."""

    offset: int
    kind: Kind | None
    around: bytes


def _in_base64(word: bytes) -> Iterator[bytes]:
    """Its characters that do not depend on what is before or after, at each of three places (RFC 4648 §4)."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + word)
        yield text[(8 * before + 5) // 6 : 8 * (before + len(word)) // 6]


NEEDLES = (MARK.encode(), *_in_base64(MARK.encode()))


def marks(data: bytes) -> Iterator[Found]:
    """Every mark in it."""
    for needle in NEEDLES:
        at = data.find(needle)
        while at >= 0:
            before = data[max(at - 3, 0) : at].decode("latin-1")
            kind = next((each for each in Kind if before == f"{each}-"), None)
            yield Found(offset=at, kind=kind, around=data[max(at - 60, 0) : at + len(needle) + 20])
            at = data.find(needle, at + len(needle))


# ── in the list of processes ────────────────────────────────────────────────


class CommandLines:
    """Of all processes of this machine, as `ps` shows them, from `start` on; `stop` fails if a word was in one."""

    def __init__(self, *words: str) -> None:
        self._words = [word.encode() for word in words]
        self._over = threading.Event()
        self.seen: dict[str, str] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True, name="command lines")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._look()
        assert not self.seen, f"a secret was on a command line: {self.seen}"

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self._look()

    def _look(self) -> None:
        for place in Path("/proc").glob("[0-9]*/cmdline"):  # none on macOS
            try:
                line = place.read_bytes()
            except OSError:  # it has ended
                continue
            if any(word in line for word in self._words):
                self.seen[place.parent.name] = line.replace(b"\0", b" ").decode(errors="replace").strip()
