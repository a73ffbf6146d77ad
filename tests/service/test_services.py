"""What `cronmirror install` would hand to launchd and to systemd, checked by their own parsers."""

from __future__ import annotations

import plistlib
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import ServiceError
from agent.service import ServiceSpec, Shell, for_this_machine
from agent.service.launchd import Launchd
from agent.service.systemd import Systemd
from agent.service.unit import fill

TEMPLATES = Path(__file__).parents[2] / "launchd"
NASTY = "a b & <c> \"d\" %h $HOME 'e' \\ ü"


class Recorder:
    """Answers like launchctl and systemctl and remembers what was asked."""

    def __init__(self, answers: dict[str, tuple[int, str]] | None = None) -> None:
        self.asked: list[list[str]] = []
        self.answers = answers or {}

    def __call__(self, argv: Sequence[str]) -> tuple[int, str]:
        self.asked.append(list(argv))
        return next((answer for words, answer in self.answers.items() if words in " ".join(argv)), (0, ""))


@pytest.fixture
def spec(tmp_path: Path) -> ServiceSpec:
    return ServiceSpec(
        project="home lab/1",
        python=Path(shutil.which("python3") or "/usr/bin/python3"),
        config=tmp_path / "config.yaml",
        state_dir=tmp_path / "state",
        home=tmp_path,
        path="/opt/homebrew/bin:/usr/bin:/bin",
        drain_timeout_s=30,
    )


def test_the_plist_says_what_launchd_needs(spec: ServiceSpec, tmp_path: Path) -> None:
    plist = plistlib.loads(Launchd(tmp_path, TEMPLATES, Recorder()).render(spec).encode())
    assert plist["Label"] == "app.cronmirror.home-lab-1"
    assert plist["ProgramArguments"] == [
        *(str(spec.python), "-P", "-m", "agent", "run", "--config", str(spec.config)),
        *("--state-dir", str(spec.state_dir), "--log-format", "json"),
    ]
    assert plist["EnvironmentVariables"]["HOME"] == str(tmp_path)
    assert plist["EnvironmentVariables"]["PATH"] == spec.path
    assert plist["KeepAlive"] == {"SuccessfulExit": False}
    assert plist["RunAtLoad"] is True
    assert plist["ExitTimeOut"] > spec.drain_timeout_s


def test_words_with_quotes_spaces_and_markup_reach_launchd_whole(spec: ServiceSpec, tmp_path: Path) -> None:
    nasty = replace(spec, config=Path("/x") / NASTY, path=NASTY)
    plist = plistlib.loads(Launchd(tmp_path, TEMPLATES, Recorder()).render(nasty).encode())
    assert plist["ProgramArguments"][6] == f"/x/{NASTY}"
    assert plist["EnvironmentVariables"]["PATH"] == NASTY


def test_the_unit_passes_systemds_own_check(spec: ServiceSpec, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    manager = Systemd(tmp_path, TEMPLATES, Recorder())
    for each in (spec, replace(spec, config=Path("/x") / NASTY, path=NASTY)):
        text = manager.render(each)
        assert "{{" not in text
        if analyze:
            unit = tmp_path / "cronmirror-test.service"
            unit.write_text(text)
            env = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
            verify = [analyze, "verify", "--user", "--man=no", str(unit)]
            done = subprocess.run(verify, capture_output=True, text=True, env=env, check=False)
            assert (done.returncode, [x for x in done.stderr.splitlines() if unit.name in x]) == (0, [])


def test_words_with_quotes_spaces_and_specifiers_reach_systemd_whole(spec: ServiceSpec, tmp_path: Path) -> None:
    nasty = replace(spec, config=Path("/x") / NASTY)
    unit = Systemd(tmp_path, TEMPLATES, Recorder()).render(nasty)
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    words = shlex.split(line.removeprefix("ExecStart="))
    assert words[6].replace("%%", "%").replace("$$", "$") == f"/x/{NASTY}"


def test_a_line_break_in_a_word_is_refused(spec: ServiceSpec, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="line break"):
        Systemd(tmp_path, TEMPLATES, Recorder()).render(replace(spec, project="x\nExecStartPre=evil"))
    with pytest.raises(ServiceError, match="line break"):
        Systemd(tmp_path, TEMPLATES, Recorder()).render(replace(spec, path="x\nExecStartPre=evil"))


def test_a_template_that_asks_for_an_unknown_word_is_our_bug() -> None:
    with pytest.raises(ServiceError, match="unknown word: nope"):
        fill("{{nope}}", {}, str)


@pytest.mark.parametrize("kind", [Launchd, Systemd])
def test_installing_twice_replaces_and_uninstalling_keeps_the_state(
    kind: type, spec: ServiceSpec, tmp_path: Path
) -> None:
    shell = Recorder()
    manager = kind(tmp_path, TEMPLATES, shell)
    spec.state_dir.mkdir()
    manager.install(spec)
    manager.install(spec)
    assert manager.file(spec).read_text() == manager.render(spec)
    for command in manager.commands(spec):
        assert list(command) in shell.asked
    assert manager.uninstall(spec) is True
    assert not manager.file(spec).exists()
    assert manager.uninstall(spec) is False
    assert spec.state_dir.is_dir()


@pytest.mark.parametrize(("kind", "verb"), [(Launchd, "bootstrap"), (Systemd, "restart")])
def test_a_refusal_of_the_service_manager_is_said_in_its_words(
    kind: type, verb: str, spec: ServiceSpec, tmp_path: Path
) -> None:
    manager = kind(tmp_path, TEMPLATES, Recorder({verb: (5, "Input/output error")}))
    with pytest.raises(ServiceError, match=rf"{verb}.*Input/output error"):
        manager.install(spec)


@pytest.mark.parametrize(
    ("installed", "answer", "state"),
    [
        (False, (113, "Could not find service"), "not installed"),
        (True, (113, "Could not find service"), "stopped"),
        (True, (0, "gui/501/x = {\n\tstate = running\n\tpid = 42\n}"), "running"),
        (True, (0, "gui/501/x = {\n\tstate = waiting\n\tlast exit code = 2\n}"), "failed"),
    ],
)
def test_launchds_answer_is_understood(
    installed: bool, answer: tuple[int, str], state: str, spec: ServiceSpec, tmp_path: Path
) -> None:
    shell = Recorder()
    manager = Launchd(tmp_path, TEMPLATES, shell)
    if installed:
        manager.install(spec)
    shell.answers = {"print": answer}
    assert manager.status(spec).state == state


@pytest.mark.parametrize(
    ("installed", "answer", "state"),
    [
        (False, (0, "ActiveState=inactive"), "not installed"),
        (True, (1, "Failed to connect to bus"), "unknown"),
        (True, (0, "ActiveState=active\nSubState=running\nMainPID=42"), "running"),
        (True, (0, "ActiveState=failed\nResult=exit-code"), "failed"),
        (True, (0, "ActiveState=inactive"), "stopped"),
    ],
)
def test_systemds_answer_is_understood(
    installed: bool, answer: tuple[int, str], state: str, spec: ServiceSpec, tmp_path: Path
) -> None:
    shell = Recorder()
    manager = Systemd(tmp_path, TEMPLATES, shell)
    if installed:
        manager.install(spec)
    shell.answers = {"show": answer}
    assert manager.status(spec).state == state


def test_lingering_is_asked_for_until_it_is_on(tmp_path: Path) -> None:
    assert Systemd(tmp_path, TEMPLATES, Recorder({"show-user": (0, "Linger=yes")})).start_at_boot_hint() is None
    hint = Systemd(tmp_path, TEMPLATES, Recorder({"show-user": (0, "Linger=no")})).start_at_boot_hint()
    assert hint is not None
    assert hint.startswith("sudo loginctl enable-linger ")


def test_the_service_managers_command_is_really_run_and_its_absence_is_said() -> None:
    assert Shell()(["sh", "-c", "echo out; echo err >&2; exit 3"]) == (3, "out\nerr")
    with pytest.raises(ServiceError, match="cronmirror-no-such-command can't be run"):
        Shell()(["cronmirror-no-such-command"])


def test_the_choice_of_service_manager_follows_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert for_this_machine(tmp_path, TEMPLATES).name == "launchd"
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(shutil, "which", lambda _: "/bin/systemctl")
    assert for_this_machine(tmp_path, TEMPLATES).name == "systemd"
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ServiceError, match="neither launchd nor systemd"):
        for_this_machine(tmp_path, TEMPLATES)
