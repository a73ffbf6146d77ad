"""What a job printed, on a person's terminal: colours stay colours, everything else that could act is shown, not done.

Other sequences of escapes could set the title, fill the clipboard (OSC 52), answer as if typed (cursor reports) or
paint over what we say.
"""

from __future__ import annotations

import os
import re
import sys
from io import TextIOWrapper
from typing import Final, TextIO

from rich.markup import escape

from agent.cli.output import plain, stderr

_COLOUR: Final = re.compile(r"\x1b\[[0-9;:]{0,60}m")
"""Select Graphic Rendition (ECMA-48 §8.3.117)."""
_CONTROL: Final = re.compile(r"\x1b\[[0-?]{0,60}[ -/]{0,4}[@-~]")
"""Any other control sequence of CSI (ECMA-48 §5.4): moves the cursor, erases, asks."""
_BEGUN: Final = re.compile(r"\x1b(\[[0-?]{0,60}[ -/]{0,4})?\Z")
_RESET: Final = "\x1b[0m"
_HARMLESS: Final = "\n\t\r"


class Harmless:
    """One stream of text for a terminal, piece by piece. Without `colours` they are left out as well."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours
        self._held = ""
        self._coloured = False

    def feed(self, text: str) -> str:
        """The piece, harmless; the beginning of an escape at its end waits for the next."""
        text = self._held + text
        begun = _BEGUN.search(text)
        self._held = text[begun.start() :] if begun else ""
        return self._cleaned(text[: len(text) - len(self._held)])

    def close(self) -> str:
        """What was held back, and the colours that were there before."""
        rest, self._held = self._cleaned(self._held), ""
        reset, self._coloured = _RESET if self._coloured else "", False
        return rest + reset

    def _cleaned(self, text: str) -> str:
        parts, at = [], 0
        for found in _CONTROL.finditer(text):
            parts.append(_shown(text[at : found.start()]))
            at = found.end()
            if self._colours and _COLOUR.fullmatch(found[0]):
                parts.append(found[0])
                self._coloured = True
        return "".join([*parts, _shown(text[at:])])


class Screen:
    """Stdout to stdout, stderr to stderr, as they come. Colours where a terminal is and nobody asked for none."""

    def __init__(self) -> None:
        colours = "NO_COLOR" not in os.environ  # https://no-color.org
        self._targets = {"stdout": sys.stdout, "stderr": sys.stderr}
        for file in self._targets.values():
            if isinstance(file, TextIOWrapper):
                file.reconfigure(errors="replace")  # a terminal in Latin-1 must not end us
        self._clean = {name: Harmless(colours=colours and file.isatty()) for name, file in self._targets.items()}
        self._at_begin = True

    def show(self, stream: str, text: str) -> None:
        """A piece of a stream."""
        self._write(self._targets[stream], self._clean[stream].feed(text))

    def note(self, text: str) -> None:
        """A line of ours."""
        self.close()
        stderr.print(f"[dim]· {escape(plain(text))}[/]")

    def close(self) -> None:
        """Put colours back, and begin a line for whoever comes next."""
        for stream, clean in self._clean.items():
            self._write(self._targets[stream], clean.close())
        if not self._at_begin and sys.stdout.isatty():
            self._write(sys.stderr, "\n")

    def _write(self, target: TextIO, text: str) -> None:
        if text:
            target.write(text)
            target.flush()
            self._at_begin = text.removesuffix(_RESET).endswith("\n")


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() or c in _HARMLESS else "\N{REPLACEMENT CHARACTER}" for c in text)
