"""Where `${…}` values come from, on real files and real keyring backends."""

from __future__ import annotations

import os
from pathlib import Path

import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from agent.adapters.secrets import MAX_BYTES, Secrets, parse_env_file
from agent.errors import ConfigError
from tests.support.strangers import given_away


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def fault(call, *args) -> str:
    with pytest.raises(ConfigError) as caught:
        call(*args)
    return "\n".join(str(problem) for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("  A = b c  ", "b c"),
        ("export A=b", "b"),
        ("A=b # comment", "b"),
        ("A=b#c", "b#c"),
        ("A=", ""),
        ("A=# comment", ""),
        ("A='$x # y' # comment", "$x # y"),
        ('A="a \\"b\\" \\\\ \\n # c" # d', 'a "b" \\ \n # c'),
        ("A=a'b", "a'b"),
        ("A=${B}", "${B}"),
        ("A=ä", "ä"),
    ],
)
def test_env_files_are_read_as_dotenv_does(line, value):
    assert parse_env_file(f"# x\n\n{line}\n", file="f") == ({"A": value}, [])


def test_a_later_line_wins_and_a_byte_order_mark_is_no_name():
    assert parse_env_file("\ufeffA=1\r\nA=2\r\n", file="f") == ({"A": "2"}, [])


def test_broken_lines_are_told_with_their_number_and_without_their_text():
    values, problems = parse_env_file('A=1\nsecret\n1B=2\nC=\'x\nD="y" z\n', file="f.env")
    assert values == {"A": "1"}
    assert [str(problem) for problem in problems] == [
        "f.env:2: is not `NAME=value`",
        "f.env:3: is not `NAME=value`",
        "f.env:4: a quote is never closed on this line",
        "f.env:5: a quote is never closed on this line",
    ]


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Zl", "Zp", "Cs"], exclude_characters="'")))
def test_single_quotes_keep_any_line(value):
    assert parse_env_file(f"A='{value}'", file="f") == ({"A": value}, [])


def test_the_environment_wins_over_env_files_and_an_earlier_file_over_a_later_one(tmp_path):
    private(tmp_path / "a.env", "X=a\nY=a\n")
    private(tmp_path / "b.env", "Y=b\nZ=b\n")
    secrets = Secrets(tmp_path, {"X": "environment"})
    secrets.add_env_file("a.env")
    secrets.add_env_file(str(tmp_path / "b.env"))
    assert [secrets.variable(name) for name in "XYZ?"] == ["environment", "a", "b", None]
    assert secrets.files == (tmp_path / "a.env", tmp_path / "b.env")


def test_a_tilde_is_the_home_directory(tmp_path):
    private(Path.home() / "x.env", "A=1")
    secrets = Secrets(tmp_path, {})
    secrets.add_env_file("~/x.env")
    assert secrets.variable("A") == "1"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o660, 0o644, 0o610])
def test_an_env_file_that_others_may_touch_is_refused_with_the_command_that_mends_it(tmp_path, mode):
    path = private(tmp_path / "s.env", "A=1", mode)
    message = fault(Secrets(tmp_path, {}).add_env_file, "s.env")
    assert f"(mode {mode:04o}); run `chmod 600 {path}`" in message


def test_an_env_file_of_somebody_else_is_refused(tmp_path, monkeypatch):
    given_away(private(tmp_path / "s.env", "A=1"), monkeypatch)
    assert "belongs to another user" in fault(Secrets(tmp_path, {}).add_env_file, "s.env")


def test_unreadable_env_files_are_told(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    private(tmp_path / "big", "#" * (MAX_BYTES + 1))
    (private(tmp_path / "latin", "")).write_bytes(b"A=\xff")
    add = Secrets(tmp_path, {}).add_env_file
    assert "nope cannot be read: No such file" in fault(add, "nope")
    assert "pipe is not a file" in fault(add, "pipe")
    assert "folder" in fault(add, "folder")
    assert "big is larger than 64 KiB" in fault(add, "big")
    assert "latin is not UTF-8" in fault(add, "latin")


def test_a_broken_env_file_gives_nothing(tmp_path):
    private(tmp_path / "s.env", "A=1\nbroken\n")
    secrets = Secrets(tmp_path, {})
    assert "s.env:2" in fault(secrets.add_env_file, "s.env")
    assert secrets.variable("A") is None


@pytest.mark.parametrize(("text", "value"), [("x\n", "x"), ("x\r\n", "x"), ("x\n\n", "x\n"), ("x", "x"), ("", "")])
def test_a_file_gives_its_text_without_the_last_newline(tmp_path, text, value):
    (tmp_path / "f").write_bytes(text.encode())
    secrets = Secrets(tmp_path, {})
    assert secrets.file("f") == value
    assert secrets.files == (tmp_path / "f",)


class Ring(KeyringBackend):
    """A keyring of one password that can be locked."""

    priority = 1
    locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked("the user said no")
        return "s3cret" if (service, username) == ("cronmirror", "PW") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise AssertionError("nothing is stored")


@pytest.fixture
def ring():
    before, ring = keyring.get_keyring(), Ring()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


def test_the_keyring_gives_passwords_of_our_service(ring, tmp_path):
    assert Secrets(tmp_path, {}).keyring("PW") == "s3cret"


def test_what_is_not_in_the_keyring_comes_with_the_command_that_stores_it(ring, tmp_path):
    assert "`keyring set cronmirror NOPE`" in fault(Secrets(tmp_path, {}).keyring, "NOPE")


def test_a_locked_keyring_says_so(ring, tmp_path):
    ring.locked = True
    assert "did not give PW: the user said no" in fault(Secrets(tmp_path, {}).keyring, "PW")


def test_a_machine_without_keyring_says_what_to_do_instead(tmp_path):
    assert "no keyring to look PW up in; put it into an `env_file:`" in fault(Secrets(tmp_path, {}).keyring, "PW")
