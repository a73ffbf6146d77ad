"""Killed (-9) between receiving a rotated refresh token and using it: `python -m tests.connections.killing [KILLS]`.

A process refreshes without end against a provider where showing a used refresh token ends the whole login. It is killed
where a coin says: as soon as the new token is on disk, or as soon as the answer has come, which may be before. The next
process must be able to go on. Of the second kind, the provider forgives a token shown again whose successor nobody has
used yet (RFC 9700, 4.14.2 leaves that to it); without such grace, no client could survive a death between the two.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from agent.adapters.clock import SystemClock
from agent.adapters.files import atomic_write
from agent.adapters.oauth import OAuthProviders
from agent.adapters.tokens import LocalConnections
from agent.connections.keeper import Keeper
from agent.connections.ledger import Ledger
from agent.model import Connection, Failure, Thresholds, Tokens
from tests.support.oauth_provider import OAuthProvider

ROOT = Path(__file__).parents[2]
RECEIVED, KEPT, OUTCOME = "received", "kept", "outcome"
PATIENCE_S = 60.0


class _Announcing(OAuthProviders):
    """Says when an answer has come."""

    async def renew(self, connection: Connection, tokens: Tokens | None) -> Tokens | Failure:
        answer = await super().renew(connection, tokens)
        _say(RECEIVED)
        return answer


class _AnnouncingStore(LocalConnections):
    """Says when tokens are on disk, and goes on when told to: a kill there comes before they are used."""

    async def keep_tokens(self, connection_id: str, tokens: Tokens) -> None:
        await super().keep_tokens(connection_id, tokens)
        _say(KEPT)
        await asyncio.to_thread(sys.stdin.readline)


class _One:
    """The one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, _: str) -> Connection:
        return self._connection

    def all(self) -> Sequence[Connection]:
        return [self._connection]


def keeper_of(connection: Connection, calls: OAuthProviders, store: LocalConnections) -> Keeper:
    """As the agent has it."""
    clock, one, thresholds = SystemClock(), _One(connection), Thresholds()
    ledger = Ledger(store, one, clock, thresholds=lambda: thresholds, told=lambda _: None)
    return Keeper(calls, store, one, ledger, clock, thresholds=lambda: thresholds, learn=lambda *_: None)


@dataclass
class Killing:
    """Kills, one after the other."""

    kills: int
    seed: int = 1

    def __post_init__(self) -> None:
        self.survived = 0
        self.before_disk = 0
        """Kills after which the disk had the token of before."""

    async def run(self, folder: Path) -> str | None:
        """What went wrong; None: nothing."""
        coin = random.Random(self.seed)  # noqa: S311 - the same kills again
        with OAuthProvider() as provider:
            connection, store = provider.connection(), LocalConnections(folder, atomic_write)
            first = provider.sign_in_now()
            tokens = Tokens(
                access_token=first.access_token, refresh_token=first.refresh_token, obtained_at=datetime.now(UTC)
            )
            await keeper_of(connection, OAuthProviders(SystemClock()), store).accept(connection.connection_id, tokens)
            for number in range(self.kills + 1):
                where = coin.choice((RECEIVED, KEPT))
                wrong = await self._live(folder, provider.url, where, coin.randint(1, 3))
                if wrong:
                    return f"after {number} kills: {wrong}"
                self.survived = number
                if where == RECEIVED:
                    self.before_disk += _forgive(provider, await store.tokens(connection.connection_id))
        return None

    async def _live(self, folder: Path, url: str, where: str, times: int) -> str | None:
        """One process, killed when it has said `where` so often."""
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.connections.killing",
            "child",
            str(folder),
            url,
            cwd=ROOT,
            stdin=pipe,
            stdout=pipe,
        )
        assert child.stdout
        assert child.stdin
        try:
            async with asyncio.timeout(PATIENCE_S):
                while line := (await child.stdout.readline()).decode().strip():
                    if line.startswith(OUTCOME) and line != f"{OUTCOME} refreshed":
                        return line
                    times -= line == where
                    if not times:
                        return None
                    if line == KEPT:
                        child.stdin.write(b"go on\n")
        finally:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
        return "the process ended by itself"


def _forgive(provider: OAuthProvider, stored: Tokens | None) -> bool:
    """What the disk has works again if its successor was never used; whether it had been used."""
    assert stored is not None
    given = next(each for each in provider.given if each.refresh_token == stored.refresh_token)
    used, given.used = given.used, False
    return used


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def _be_the_child(folder: str, url: str) -> None:
    """Refresh without end."""
    provider = OAuthProvider()
    provider.url = url
    store = _AnnouncingStore(Path(folder), atomic_write)
    keeper = keeper_of(provider.connection(), _Announcing(SystemClock()), store)
    await keeper.load()
    while True:
        _say(f"{OUTCOME} {await keeper.refresh_now('demo')}")


def main() -> None:
    """Kill, and say what was seen."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    if sys.argv[1:2] == ["child"]:
        asyncio.run(_be_the_child(*sys.argv[2:]))
    killing = Killing(kills=int(sys.argv[1]) if sys.argv[1:] else 100)
    with TemporaryDirectory() as folder:
        wrong = asyncio.run(killing.run(Path(folder)))
    say = wrong or f"{killing.survived} kills, {killing.before_disk} of them before the disk had it: never locked out"
    sys.stdout.write(say + "\n")
    sys.exit(wrong is not None)


if __name__ == "__main__":
    main()
