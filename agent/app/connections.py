"""The keeper of connections with all it stands on: for the agent, for `cronmirror exec` and `cronmirror connections`.

Processes of one box share tokens and standings through the state directory; each may refresh.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from agent.adapters.clock import SystemClock
from agent.adapters.files import StateDir, atomic_write
from agent.adapters.oauth import OAuthProviders
from agent.adapters.tokens import KeyringVault, LocalConnections
from agent.config.config import Config
from agent.connections.keeper import Keeper
from agent.connections.ledger import Ledger
from agent.connections.sweep import Ahead, Sweep
from agent.model import Change, Connection, Thresholds
from agent.ports import ChangeListener, Clock, Connections, Jobs
from agent.run.redact import Redactor
from agent.schedule.timetable import next_run_at

InForce = Callable[[], Config | None]
"""The configuration as it is now."""


class Configured(Connections):
    """The connections of the configuration in force."""

    def __init__(self, in_force: InForce) -> None:
        self._in_force = in_force

    def get(self, connection_id: str) -> Connection | None:
        """The connection, or None."""
        config = self._in_force()
        return config.connection(connection_id) if config else None

    def all(self) -> Sequence[Connection]:
        """Every one, in file order."""
        config = self._in_force()
        return config.connections if config else ()

    def thresholds(self) -> Thresholds:
        """Of the configuration in force."""
        config = self._in_force()
        return config.thresholds if config else Thresholds()


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """One process' keeper. `listeners` hear of every change of a standing."""

    configured: Configured
    providers: OAuthProviders
    store: LocalConnections
    ledger: Ledger
    keeper: Keeper
    clock: Clock
    listeners: list[ChangeListener] = field(default_factory=list)

    def sweep(self, jobs: Jobs) -> Sweep:
        """The loop that looks after them, for a process that lives."""
        return Sweep(
            self.keeper,
            self.ledger,
            self.configured,
            self.clock,
            ahead=Ahead(jobs=jobs, next_run=next_run_at),
            thresholds=self.configured.thresholds,
            revision=self.store.revision,
        )


@asynccontextmanager
async def keeping(in_force: InForce, state: StateDir, redactor: Redactor) -> AsyncIterator[Keeping]:
    """Open it, with what is on disk read and hidden from output; a refresh under way ends before it closes.

    Raises `StateError`.
    """
    config, clock, listeners = in_force(), SystemClock(), list[ChangeListener]()

    def told(change: Change) -> None:
        for listener in listeners:
            listener(change)

    configured = Configured(in_force)
    in_keyring = config is not None and config.tokens_in_keyring
    vault = KeyringVault(config.project) if config and in_keyring else None
    store = LocalConnections(state.connections, atomic_write, vault)
    ledger = Ledger(store, configured, clock, thresholds=configured.thresholds, told=told)
    async with aclosing(OAuthProviders(clock)) as providers:
        keeper = Keeper(
            providers, store, configured, ledger, clock, thresholds=configured.thresholds, learn=redactor.renew
        )
        await keeper.load()
        try:
            yield Keeping(
                configured=configured,
                providers=providers,
                store=store,
                ledger=ledger,
                keeper=keeper,
                clock=clock,
                listeners=listeners,
            )
        finally:
            await keeper.close()
