"""What this box's memory of connections means, tried on files, on a keyring and on the fake."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import keyring
import pytest

from agent.adapters.files import atomic_write
from agent.adapters.tokens import KeyringVault, LocalConnections
from agent.model import FailureKind, Standing, Tokens
from agent.ports import ConnectionStore
from tests.support.clock import settle
from tests.support.fake_connections import FakeConnectionStore
from tests.support.memory_keyring import MemoryKeyring

NOON = datetime(2026, 3, 18, 12, tzinfo=UTC)
TOKENS = Tokens(
    access_token="access",
    refresh_token="refresh",
    obtained_at=NOON,
    expires_at=NOON + timedelta(hours=1),
    scopes=("read", "write"),
    account="max@example.com",
)
STANDING = Standing(
    connection_id="drive",
    provider="google",
    scopes=("read",),
    needs_reauth=True,
    last_refresh_at=NOON,
    last_failure_kind=FailureKind.PERMANENT,
    consecutive_failures=3,
    retry_at=NOON + timedelta(minutes=1),
)


@pytest.fixture(params=["files", "keyring", "fake"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConnectionStore:
    if request.param == "fake":
        return FakeConnectionStore()
    if request.param == "files":
        return LocalConnections(tmp_path / "connections", atomic_write)
    backend = MemoryKeyring()
    monkeypatch.setattr(keyring, "get_keyring", lambda: backend)
    for name in ("get_password", "set_password", "delete_password"):
        monkeypatch.setattr(keyring, name, getattr(backend, name))
    return LocalConnections(tmp_path / "connections", atomic_write, KeyringVault("home"))


async def test_tokens_are_replaced_whole_and_forgotten(store: ConnectionStore) -> None:
    assert await store.tokens("drive") is None
    await store.keep_tokens("drive", TOKENS)
    assert await store.tokens("drive") == TOKENS

    lasting = Tokens(access_token="other", obtained_at=NOON)
    await store.keep_tokens("drive", lasting)
    assert await store.tokens("drive") == lasting
    assert await store.tokens("mail") is None

    await store.forget_tokens("drive")
    await store.forget_tokens("drive")
    assert await store.tokens("drive") is None


async def test_standings_are_kept_whole_beside_them(store: ConnectionStore) -> None:
    assert await store.standing("drive") is None
    await store.keep_standing(STANDING)
    await store.forget_tokens("drive")

    assert await store.standing("drive") == STANDING


async def test_a_lock_is_one_connections_and_one_holders(store: ConnectionStore) -> None:
    order = []
    free = asyncio.Event()

    async def first() -> None:
        async with store.lock("drive"):
            order.append("first")
            await free.wait()
            order.append("first leaves")

    async def second() -> None:
        async with store.lock("drive"):
            order.append("second")

    tasks = [asyncio.create_task(first()), asyncio.create_task(second())]
    await settle()
    async with store.lock("mail"):
        order.append("another")
    free.set()
    await asyncio.gather(*tasks)

    assert order == ["first", "another", "first leaves", "second"]


async def test_every_change_is_another_revision(store: LocalConnections | FakeConnectionStore) -> None:
    before = store.revision()
    await store.keep_tokens("drive", TOKENS)
    await store.keep_standing(STANDING)

    assert store.revision() != before
