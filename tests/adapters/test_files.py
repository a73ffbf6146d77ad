"""Files we own or trust, on a real file system."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from agent.adapters import files
from agent.adapters.files import (
    MAX_CONFIG_BYTES,
    StateDir,
    agent_id_from,
    atomic_write,
    bundled,
    ensure_private_enough,
    read_config,
    state_root,
)
from agent.errors import ConfigError, PermanentError, StateError
from tests.support.strangers import given_away

HOLD_LOCK = """
import sys
from pathlib import Path
from agent.adapters.files import StateDir
with StateDir(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def problem(call, *args) -> str:
    with pytest.raises(ConfigError) as caught:
        call(*args)
    return str(caught.value)


# ── bundled data ─────────────────────────────────────────────────────────────


def test_bundled_data_is_found_at_the_top_of_the_repository():
    assert bundled("config.example.yaml") == Path(files.__file__).parents[2] / "config.example.yaml"


def test_package_data_comes_first(tmp_path, monkeypatch):
    package = tmp_path / "agent"
    (package / "_data").mkdir(parents=True)
    monkeypatch.setattr(files, "_PACKAGE", package)
    (tmp_path / "x").touch()
    assert bundled("x") == tmp_path / "x"
    (package / "_data" / "x").touch()
    assert bundled("x") == package / "_data" / "x"


def test_a_broken_installation_says_so():
    with pytest.raises(PermanentError, match="nope is missing from this installation"):
        bundled("nope")


# ── writing ──────────────────────────────────────────────────────────────────


def test_a_file_is_replaced_whole_and_private(tmp_path):
    path = tmp_path / "f"
    path.write_text("old and long")
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    atomic_write(path, b"open", mode=0o644)
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_replaced_file_is_on_the_disk_before_its_name_is_and_both_before_anybody_goes_on(tmp_path, monkeypatch):
    path, steps = tmp_path / "tokens", []
    path.write_bytes(b"old")
    sync = os.fsync

    def seen(descriptor: int) -> None:
        steps.append(("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file", path.read_bytes()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", seen)
    atomic_write(path, b"new")

    assert steps == [("file", b"old"), ("folder", b"new")]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(StateError, match="cannot be written"):
        atomic_write(target, b"x")
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_has_a_hint():
    assert files._state_error("x", OSError(errno.ENOSPC, "No space left on device")).hint == "Make room on the disk."


# ── the configuration file ───────────────────────────────────────────────────


def test_a_configuration_is_read_with_or_without_byte_order_mark(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes("\ufeffproject: ä".encode())
    assert read_config(path) == "project: ä"


def test_an_unreadable_configuration_says_why(tmp_path):
    path = tmp_path / "c.yaml"
    assert f"{path}: there is no such file" in problem(read_config, path)
    assert "cannot be read: Is a directory" in problem(read_config, tmp_path)
    path.write_bytes(b"a: 1\nb: \xff")
    assert f"{path}:2: is not UTF-8" in problem(read_config, path)
    path.write_bytes(b"#" * (MAX_CONFIG_BYTES + 1))
    assert "larger than 1 MiB" in problem(read_config, path)


@pytest.fixture
def config(tmp_path):
    folder = tmp_path / "above" / "folder"
    folder.mkdir(parents=True)
    path = folder / "c.yaml"
    path.touch(mode=0o644)
    for place in (folder.parent, folder):
        place.chmod(0o755)
    path.chmod(0o644)
    return path


def test_a_configuration_that_only_we_can_write_is_fine(config):
    ensure_private_enough(config)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_configuration_that_others_can_write_is_refused(config, mode):
    config.chmod(mode)
    assert f"{config} can be written by others" in problem(ensure_private_enough, config)
    assert f"`chmod go-w {config}`" in problem(ensure_private_enough, config)


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_a_folder_that_others_can_write_is_refused_unless_it_is_sticky(config, mode):
    config.parent.chmod(mode)
    assert f"`chmod go-w {config.parent}`" in problem(ensure_private_enough, config)
    config.parent.chmod(mode | 0o1000)
    ensure_private_enough(config)


def test_further_up_a_group_may_write_but_not_everybody(config):
    config.parent.parent.chmod(0o775)
    ensure_private_enough(config)
    config.parent.parent.chmod(0o777)
    assert f"`chmod go-w {config.parent.parent}`" in problem(ensure_private_enough, config)


def test_a_link_is_as_open_as_its_folder_and_its_target(config, tmp_path):
    folder = tmp_path / "links"
    folder.mkdir(mode=0o755)
    link = folder / "c.yaml"
    link.symlink_to(config)
    ensure_private_enough(link)
    folder.chmod(0o777)
    assert f"{folder} can be written by others" in problem(ensure_private_enough, link)
    folder.chmod(0o755)
    config.parent.chmod(0o777)
    assert f"{config.parent} can be written by others" in problem(ensure_private_enough, link)


def test_what_cannot_be_checked_is_refused(tmp_path):
    assert "cannot be checked: No such file" in problem(ensure_private_enough, tmp_path / "nope")


def test_a_configuration_of_somebody_else_is_refused(config, monkeypatch):
    given_away(config, monkeypatch)
    assert f"{config} belongs to another user" in problem(ensure_private_enough, config)


def test_a_configuration_in_a_folder_of_somebody_else_is_refused(config, monkeypatch):
    given_away(config.parent, monkeypatch)
    assert "belongs to another user" in problem(ensure_private_enough, config)


# ── the state directory ──────────────────────────────────────────────────────


def test_state_is_private_and_per_project(tmp_path):
    root = tmp_path / "state"
    environ = {"CRONMIRROR_STATE_DIR": str(root)}
    plain, odd, other = (StateDir.of_project(name, environ).path for name in ("home-lab", "a/../b c", "a/../b-c"))
    assert plain == root / "home-lab"
    assert odd.parent == other.parent == root
    assert odd != other
    assert plain.stat().st_mode & 0o777 == 0o700


def test_hidden_and_empty_looking_projects_get_a_folder_of_their_own(tmp_path):
    environ = {"CRONMIRROR_STATE_DIR": str(tmp_path)}
    names = {StateDir.of_project(name, environ).path for name in (".", "..", "/", "é", ".x", "x")}
    assert len(names) == 6
    assert {name.parent for name in names} == {tmp_path}


def test_without_a_wish_state_lives_where_the_platform_keeps_it():
    assert state_root({}).name == "cronmirror"
    assert Path.home() in state_root({}).parents


def test_an_open_state_directory_is_closed(tmp_path):
    path = tmp_path / "s"
    path.mkdir(mode=0o755)
    StateDir(path)
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_state_directory_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="cannot be used"):
        StateDir(tmp_path / "file" / "x")


def test_a_state_directory_of_somebody_else_is_refused(tmp_path, monkeypatch):
    (tmp_path / "s").mkdir()
    given_away(tmp_path / "s", monkeypatch)
    with pytest.raises(StateError, match="belongs to another user"):
        StateDir(tmp_path / "s")


def test_a_second_process_is_told_which_one_holds_the_state(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StateError, match=f"in use by process {holder.pid}") as caught, StateDir(tmp_path).lock():
            pass
        assert "CRONMIRROR_STATE_DIR" in caught.value.hint
        holder.kill()
        holder.wait()
        with StateDir(tmp_path).lock():
            assert (tmp_path / "lock").read_text() == str(os.getpid())
    with StateDir(tmp_path).lock():
        pass


def test_a_holder_that_left_no_number_is_another_process(tmp_path):
    state = StateDir(tmp_path)
    with state.lock():
        (tmp_path / "lock").write_text("")
        with pytest.raises(StateError, match="in use by another process"), state.lock():
            pass


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="cannot be opened"), StateDir(tmp_path).lock():
        pass


def test_an_instance_is_kept_on_its_machine_and_in_its_folder(tmp_path):
    first = StateDir(tmp_path / "a").instance("machine-1")
    assert isinstance(first, UUID)
    assert StateDir(tmp_path / "a").instance("machine-1") == first
    assert StateDir(tmp_path / "a").instance("machine-1", anew=True) != first


def test_a_copy_is_another_instance_on_another_machine_and_in_another_folder(tmp_path):
    first = StateDir(tmp_path / "a").instance("machine-1")
    StateDir(tmp_path / "b")
    (tmp_path / "b" / "instance.json").write_bytes((tmp_path / "a" / "instance.json").read_bytes())
    copied = StateDir(tmp_path / "b").instance("machine-1")
    assert copied != first
    assert StateDir(tmp_path / "b").instance("machine-1") == copied
    assert StateDir(tmp_path / "a").instance("machine-2") != first


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"uuid": 5}', json.dumps({"uuid": "x"})])
def test_a_damaged_instance_is_made_anew(tmp_path, damage):
    state = StateDir(tmp_path)
    (tmp_path / "instance.json").write_text(damage)
    assert state.instance("m") == state.instance("m")


def test_the_agents_id_is_made_once(tmp_path):
    assert StateDir(tmp_path).agent_id("Max's Mac mini.local") == "maxs-mac-mini"
    assert StateDir(tmp_path).agent_id("another-name") == "maxs-mac-mini"


@pytest.mark.parametrize(
    ("host", "agent_id"),
    [("mac-mini.fritz.box.", "mac-mini"), ("Büro", "b-ro"), ("...", "agent"), ("", "agent"), ("x" * 300, "x" * 100)],
)
def test_any_host_name_gives_an_id(host, agent_id):
    assert agent_id_from(host) == agent_id


def test_the_last_good_configuration_is_kept(tmp_path):
    state = StateDir(tmp_path)
    assert state.last_good_config is None
    state.keep_config("project: ä\n")
    assert StateDir(tmp_path).last_good_config == "project: ä\n"
    assert (tmp_path / "last-good.yaml").stat().st_mode & 0o777 == 0o600


def test_state_that_cannot_be_read_is_told(tmp_path):
    state = StateDir(tmp_path)
    (tmp_path / "agent_id").write_bytes(b"\xff")
    with pytest.raises(StateError, match="agent_id cannot be read"):
        state.agent_id("x")


def test_other_rooms_keep_their_files_here(tmp_path):
    state = StateDir(tmp_path)
    assert {path.parent for path in (state.session, state.database, state.payloads)} == {tmp_path}
