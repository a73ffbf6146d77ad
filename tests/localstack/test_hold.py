"""The lock of a stack's folder: nothing about it can be stale."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent.errors import StackError
from agent.localstack.hold import Hold, look
from tests.support.agent_process import ROOT

HOLD_IT = """
import sys
from pathlib import Path
from agent.localstack.hold import Hold
hold = Hold(Path(sys.argv[1])); hold.take("running"); hold.tell(url="http://127.0.0.1:1")
print("held", flush=True); sys.stdin.read()
"""


def test_who_holds_it_says_who_and_where(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert look(path) is None
    hold = Hold(path)
    hold.take("running")
    hold.tell(sockets="/s")
    hold.tell(url="http://127.0.0.1:54321")
    found = look(path)
    assert found is not None
    assert (found.pid, found.doing, found.sockets, found.url) == (
        os.getpid(),
        "running",
        "/s",
        "http://127.0.0.1:54321",
    )
    assert path.stat().st_mode & 0o777 == 0o600
    hold.release()
    assert look(path) is None
    hold.take("running")
    again = look(path)
    assert again is not None
    assert again.url is None  # a new life has said nothing yet
    hold.release()


@pytest.mark.parametrize(("doing", "words"), [("running", "already running"), ("a backup is made", "a backup is made")])
def test_a_second_one_is_refused_with_the_reason(tmp_path: Path, doing: str, words: str) -> None:
    first, second = Hold(tmp_path / "lock"), Hold(tmp_path / "lock")
    first.take(doing)
    with pytest.raises(StackError, match=f"{words} \\(process {os.getpid()}\\)"):
        second.take("running")
    first.release()
    second.take("running")
    second.release()


def test_a_killed_holder_leaves_nothing_that_counts(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_IT, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        found = look(path)
        assert found is not None
        assert found.pid == holder.pid
        holder.kill()
    assert str(holder.pid) in path.read_text()
    assert look(path) is None
    hold = Hold(path)
    hold.take("running")
    hold.release()


def test_a_lock_of_an_older_version_names_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    hold = Hold(path)
    hold.take("running")
    path.write_text("4321")
    found = look(path)
    assert found is not None
    assert (found.pid, found.doing, found.url) == (4321, "running", None)
    path.write_text("{not json")
    found = look(path)
    assert found is not None
    assert found.pid == 0
    hold.release()


def test_looking_keeps_nobody_from_taking_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    hold, done = Hold(path), threading.Event()
    hold.take("running")
    hold.release()

    def stare() -> None:
        while not done.is_set():
            look(path)

    lookers = [threading.Thread(target=stare) for _ in range(2)]
    for each in lookers:
        each.start()
    try:
        for _ in range(50):
            hold.take("running")
            hold.release()
    finally:
        done.set()
        for each in lookers:
            each.join()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        Hold(tmp_path / "lock").take("running")
    assert (tmp_path / "elsewhere").read_text() == "precious"
