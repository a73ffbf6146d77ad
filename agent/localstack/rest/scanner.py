"""Reading one parameter of a query string from left to right, and PGRST100 where it does not go on.

PostgREST's parser says where it stopped and what it would have taken there; so does this one.
"""

from __future__ import annotations

import re
from typing import NoReturn

from agent.localstack.pgerrors import refusal

_IDENTIFIER = re.compile(r"[\w $]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_BLANK = re.compile(r"[ \t]*")
FIELD_NAME = "field name (* or [a..z0..9_$])"


class Scanner:
    """A place in `text`, which is `what` (`filter`, `select parameter`) of a request."""

    def __init__(self, what: str, text: str, *, prefix: str = "") -> None:
        """`prefix` is read before `text`, and not shown in messages."""
        self._what = what
        self._shown = text
        self.text = prefix + text
        self.place = 0

    @property
    def rest(self) -> str:
        """What is still to be read."""
        return self.text[self.place :]

    @property
    def ended(self) -> bool:
        """Whether all was read."""
        return self.place >= len(self.text)

    def fail(self, expecting: str) -> NoReturn:
        """PGRST100 for the character at this place."""
        found = "end of input" if self.ended else f'"{self.text[self.place]}"'
        line = self.text.count("\n", 0, self.place) + 1
        column = self.place - (self.text.rfind("\n", 0, self.place) + 1) + 1
        message = f'"failed to parse {self._what} ({self._shown})" (line {line}, column {column})'
        raise refusal(400, "PGRST100", message, details=f"unexpected {found} expecting {expecting}")

    def take(self, token: str) -> bool:
        """Step over `token` if it is next."""
        if self.text.startswith(token, self.place):
            self.place += len(token)
            return True
        return False

    def need(self, token: str, expecting: str = "") -> None:
        """Step over `token`, or fail."""
        if not self.take(token):
            self.fail(expecting or f'"{token}"')

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Step over what `pattern` finds here."""
        found = pattern.match(self.text, self.place)
        if found:
            self.place = found.end()
        return found

    def blanks(self) -> None:
        """Step over spaces and tabs."""
        self.match(_BLANK)

    def name(self, expecting: str = FIELD_NAME) -> str:
        """A field name: quoted, or words that dashes may join (a dash before `>` is an arrow)."""
        if self.text.startswith('"', self.place):
            return self.quoted(expecting)
        parts = [self.identifier(expecting)]
        while self.text.startswith("-", self.place) and not self.text.startswith("->", self.place):
            self.place += 1
            parts.append(self.identifier("letter or digit"))
        return "-".join(parts)

    def identifier(self, expecting: str) -> str:
        """Letters, digits, `_`, `$` and blanks within."""
        found = self.match(_IDENTIFIER)
        if not found:
            self.fail(expecting)
        return found[0].strip()

    def quoted(self, expecting: str = '"\\""') -> str:
        """A text in double quotes, with backslash escapes."""
        found = self.match(_QUOTED)
        if not found:
            if self.text.startswith('"', self.place):
                self.place = len(self.text)
            self.fail(expecting)
        return _ESCAPE.sub(r"\1", found[1])

    def end(self, expecting: str = "end of input") -> None:
        """Fail unless all was read."""
        if not self.ended:
            self.fail(expecting)
