"""Tokens on this box: who can read them, what damage and a kill leave, who waits for whom."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import keyring
import pytest
from keyring.errors import KeyringLocked

from agent.adapters.files import atomic_write
from agent.adapters.tokens import KeyringVault, LocalConnections
from agent.errors import StateError
from tests.contracts.test_connection_store import STANDING, TOKENS
from tests.support.waiting import wait_until

HOLDER = """
import fcntl, os, sys
held = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(held, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "connections"


@pytest.fixture
def store(folder: Path) -> LocalConnections:
    return LocalConnections(folder, atomic_write)


def mode(place: Path) -> int:
    return place.stat().st_mode & 0o777


def inside(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def remove(folder: Path) -> None:
    folder.rmdir()


async def test_only_we_can_look_into_them(store: LocalConnections, folder: Path) -> None:
    await store.keep_tokens("drive", TOKENS)
    await store.keep_standing(STANDING)
    async with store.lock("drive"):
        pass

    assert mode(folder) == 0o700
    assert {mode(place) for place in inside(folder)} == {0o600}
    standing = (folder / "drive.standing.json").read_text()
    assert "access" not in standing
    assert "refresh" not in standing.replace("last_refresh_at", "")


async def test_no_name_leads_out_of_the_folder(store: LocalConnections, folder: Path) -> None:
    await store.keep_tokens("../../.x", TOKENS)

    assert [place.parent for place in inside(folder)] == [folder]
    assert await store.tokens("../../.x") == TOKENS


async def test_damaged_tokens_say_what_to_do(store: LocalConnections, folder: Path) -> None:
    for text in ("", "{", "[]", '{"access_token": "x"}', '{"access_token": "x", "obtained_at": 5}'):
        (folder / "drive.tokens.json").write_text(text)
        with pytest.raises(StateError, match="damaged") as raised:
            await store.tokens("drive")
        assert raised.value.hint == "Sign in again: `cronmirror connections login drive`."


async def test_a_damaged_standing_is_none(store: LocalConnections, folder: Path) -> None:
    (folder / "drive.standing.json").write_text("{")

    assert await store.standing("drive") is None


async def test_what_a_later_version_adds_is_left_out(store: LocalConnections, folder: Path) -> None:
    await store.keep_tokens("drive", TOKENS)
    place = folder / "drive.tokens.json"
    place.write_text(place.read_text()[:-1] + ', "invented_later": 1}')

    assert await store.tokens("drive") == TOKENS


async def test_what_a_killed_process_left_goes(store: LocalConnections, folder: Path) -> None:
    left = folder / ".drive.tokens.json.abcdef"
    left.write_text("half a tok")

    await store.keep_tokens("drive", TOKENS)

    assert not left.exists()


async def test_a_lock_of_another_process_is_waited_for_and_ends_with_it(store: LocalConnections, folder: Path) -> None:
    pipe = asyncio.subprocess.PIPE
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(folder / "drive.lock"), stdin=pipe, stdout=pipe
    )
    assert other.stdout
    assert await other.stdout.readline() == b"held\n"

    async def locked() -> bool:
        async with store.lock("drive"):
            return True

    wait = asyncio.create_task(locked())
    done, _ = await asyncio.wait([wait], timeout=0.2)
    assert not done
    other.kill()
    await other.wait()
    await wait_until(wait.done)
    assert wait.result()


async def test_what_the_disk_refuses_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be made"):
        LocalConnections(tmp_path / "file" / "connections", atomic_write)

    store = LocalConnections(tmp_path / "connections", atomic_write)
    (tmp_path / "connections" / "drive.tokens.json").mkdir()
    with pytest.raises(StateError, match="cannot be read"):
        await store.tokens("drive")
    with pytest.raises(StateError, match="cannot be removed"):
        await store.forget_tokens("drive")
    (tmp_path / "connections" / "drive.lock").symlink_to(tmp_path / "file")
    with pytest.raises(StateError, match="cannot be opened"):
        async with store.lock("drive"):
            pass


async def test_a_folder_that_is_gone_has_no_revision(store: LocalConnections, folder: Path) -> None:
    assert store.revision() is not None
    remove(folder)

    assert store.revision() is None


async def test_a_locked_keyring_is_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: str) -> None:
        raise KeyringLocked("it is locked")

    monkeypatch.setattr(keyring, "get_password", locked)
    store = LocalConnections(folder, atomic_write, KeyringVault("home"))
    with pytest.raises(StateError, match="the keyring refuses the tokens of drive: it is locked") as raised:
        await store.tokens("drive")
    assert "store: file" in (raised.value.hint or "")


async def test_tokens_that_last_are_told_from_those_that_end(store: LocalConnections) -> None:
    lasting = replace(TOKENS, expires_at=None, refresh_token=None)
    await store.keep_tokens("drive", lasting)

    assert await store.tokens("drive") == lasting
