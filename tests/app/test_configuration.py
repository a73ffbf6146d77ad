"""Reading the configuration, and living through bad ones, on real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.adapters.files import StateDir
from agent.app.configuration import Configuration
from agent.app.place import open_place, open_state
from agent.app.reading import find_config, read_config
from agent.app.supabase import connect
from agent.errors import ConfigError
from tests.support.clock import VirtualClock

GOOD = "project: home\njobs:\n  hello: {run: [echo, hello]}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    folder.mkdir(mode=0o700)
    file = folder / "config.yaml"
    file.write_text(GOOD)
    file.chmod(0o600)
    return file


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path / "state")


def test_a_good_file_is_kept_as_the_last_good_one(path: Path, state: StateDir) -> None:
    configuration = Configuration.open(path, state, {})
    assert [job.id for job in configuration.catalogue.all()] == ["hello"]
    assert configuration.catalogue.config_error is None
    assert state.last_good_config == GOOD.rstrip("\n") or state.last_good_config == GOOD


def test_a_broken_file_falls_back_to_the_last_good_one_and_says_why(path: Path, state: StateDir) -> None:
    Configuration.open(path, state, {})
    path.write_text("project: home\njobs: {hello: {run: 5}, other: {}}\n")
    configuration = Configuration.open(path, state, {})
    assert [job.id for job in configuration.catalogue.all()] == ["hello"]
    assert (configuration.catalogue.config_error or "").startswith("config.yaml:2: jobs.hello.run")


def test_without_a_good_one_the_problems_of_the_file_itself_are_raised(path: Path, state: StateDir) -> None:
    path.write_text("jobs: {hello: {run: 5}}\n")
    with pytest.raises(ConfigError, match=r"jobs\.hello\.run"):
        Configuration.open(path, state, {})
    state.keep_config("also: broken\n")
    with pytest.raises(ConfigError, match=r"jobs\.hello\.run"):
        Configuration.open(path, state, {})


def test_a_last_good_one_whose_variable_is_gone_is_no_way_out(path: Path, state: StateDir) -> None:
    path.write_text(GOOD + "  secret: {run: [echo], env: {A: '${TOKEN}'}}\n")
    Configuration.open(path, state, {"TOKEN": "a-long-token"})
    path.write_text("jobs: [\n")
    with pytest.raises(ConfigError, match=r"config\.yaml:"):
        Configuration.open(path, state, {})


def test_every_secret_that_was_read_is_redacted(path: Path, state: StateDir) -> None:
    path.write_text(GOOD + "  secret: {run: [echo], env: {A: '${TOKEN}'}}\n")
    configuration = Configuration.open(path, state, {"TOKEN": "a-long-token"})
    assert configuration.redactor("it is a-long-token") == "it is ***"


def test_the_configuration_is_looked_for_here_then_at_home(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    with pytest.raises(ConfigError, match=r"looked for .*empty/config\.yaml and .*cronmirror/config\.yaml.* demo"):
        find_config(None, {})
    at_home = tmp_path / "xdg" / "cronmirror" / "config.yaml"
    at_home.parent.mkdir(parents=True)
    at_home.write_text(GOOD)
    assert find_config(None, {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}) == at_home
    monkeypatch.chdir(path.parent)
    assert find_config(None, {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}) == path
    assert find_config(Path("config.yaml"), {}) == path
    assert find_config(Path("~/c.yaml"), {}).is_absolute()


def test_a_reading_names_every_file_that_a_change_of_it_concerns(path: Path) -> None:
    env_file = path.with_name("secrets.env")
    env_file.write_text("TOKEN=a-long-token\n")
    env_file.chmod(0o600)
    path.write_text("env_file: secrets.env\n" + GOOD + "  secret: {run: [echo], env: {A: '${TOKEN}'}}\n")
    assert set(read_config(path, {}, private=True).files) == {path, env_file}


def test_a_file_that_others_can_write_is_read_only_where_nothing_will_be_run(path: Path) -> None:
    path.chmod(0o666)
    assert read_config(path, {}, private=False).config.project == "home"
    with pytest.raises(ConfigError, match="chmod go-w"):
        read_config(path, {}, private=True)


def test_a_place_is_the_configuration_and_its_projects_state(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRONMIRROR_STATE_DIR", str(tmp_path / "states"))
    place = open_place(path, None)
    assert (place.path, place.config.project) == (path, "home")
    assert place.state.path == tmp_path / "states" / "home"
    assert open_state(tmp_path / "own", "home").path == tmp_path / "own"


def test_without_a_supabase_section_nothing_is_connected_and_what_is_missing_is_said(
    path: Path, tmp_path: Path
) -> None:
    config = read_config(path, {}, private=True).config
    with pytest.raises(ConfigError, match=r"supabase: is missing.*`url:` and `key:`"):
        connect(config, session_file=tmp_path / "session.json", clock=VirtualClock())
