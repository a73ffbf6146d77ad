"""What a job printed comes to a terminal with its colours and without its tricks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.terminal import Harmless, Screen

TRICKS = {
    "\x1b]52;c;aGFja2Vk\x07": "\ufffd]52;c;aGFja2Vk\ufffd",
    "\x1b]0;owned\x1b\\": "\ufffd]0;owned\ufffd\\",
    "\x1b[6n": "",
    "\x1b[2J\x1b[H": "",
    "\x1b[?1049h": "",
    "\x1bP$q\x1b\\": "\ufffdP$q\ufffd\\",
    "\x9b31m": "\ufffd31m",
    "\u202eevil": "\ufffdevil",
    "\x08\x08ok\0": "\ufffd\ufffdok\ufffd",
    "\x1b[31;" + "1;" * 40 + "m": "\ufffd[31;" + "1;" * 40 + "m",
}


@pytest.mark.parametrize(("trick", "shown"), TRICKS.items())
def test_nothing_acts_on_the_terminal(trick: str, shown: str) -> None:
    clean = Harmless(colours=True)
    assert clean.feed(f"a{trick}b") + clean.close() == f"a{shown}b"


def test_colours_stay_where_they_are_wanted_and_end_with_the_output() -> None:
    with_colours, without = Harmless(colours=True), Harmless(colours=False)
    text = "\x1b[1;38;5;208mwarm\x1b[m\r50 %\n"
    assert with_colours.feed(text) + with_colours.close() == text + "\x1b[0m"
    assert with_colours.close() == ""
    assert without.feed(text) + without.close() == "warm\r50 %\n"


@given(st.lists(st.integers(1, 6)), st.booleans())
def test_borders_between_pieces_change_nothing(cuts: list[int], colours: bool) -> None:
    text = "".join(TRICKS) + "\x1b[32mgreen\x1b[0m\x1b"
    whole = Harmless(colours=colours)
    expected = whole.feed(text) + whole.close()
    parts, rest = Harmless(colours=colours), text
    shown = ""
    for cut in cuts:
        shown, rest = shown + parts.feed(rest[:cut]), rest[cut:]
    assert shown + parts.feed(rest) + parts.close() == expected


def test_streams_stay_apart_and_what_is_no_terminal_gets_no_colours(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.show("stdout", "\x1b[32mout\x1b[0m\n")
    screen.show("stderr", "err\x1b]0;x\x07\n")
    screen.note("one [red]line[/]")
    screen.close()
    shown = capsys.readouterr()
    assert shown.out == "out\n"
    assert shown.err == "err\ufffd]0;x\ufffd\n· one [red]line[/]\n"
