"""What somebody may do on a private topic: the policies on `realtime.messages`, asked of Postgres.

Reading is asked once, at the join and after each new token; writing when something is written for the first time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from agent.localstack.realtime.database import Database
from agent.localstack.realtime.identity import Identity

Extension = Literal["broadcast", "presence"]
_MAY_READ = "select broadcast, presence from realtime_local.may_read(%s, %s, %s, %s, %s)"
_MAY_WRITE = "select realtime_local.may_write(%s, %s, %s, %s, %s)"
_LOG = structlog.get_logger()


class PolicyFailed(Exception):
    """A policy raised an error, or may not be asked: nothing is allowed."""


class DatabaseAway(Exception):
    """Postgres does not answer."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A private topic (without `realtime:`), and the headers that policies may read."""

    topic: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Policies:
    """The answers for one identity at one place. None: not asked yet."""

    read_broadcast: bool
    read_presence: bool | None
    _database: Database
    _place: Place
    _identity: Identity
    _write: dict[Extension, bool] = field(default_factory=dict)

    @classmethod
    async def ask(cls, database: Database, place: Place, identity: Identity, *, presence: bool) -> Policies:
        """What may be read. PolicyFailed, DatabaseAway."""
        broadcast, present = await _ask(database, _MAY_READ, place, identity, presence)
        return cls(
            read_broadcast=bool(broadcast),
            read_presence=bool(present) if presence else None,
            _database=database,
            _place=place,
            _identity=identity,
        )

    async def may_write(self, extension: Extension) -> bool:
        """Whether it may broadcast, or be present. False as well when that cannot be found out now."""
        known = self._write.get(extension)
        if known is None:
            try:
                known = await may_write(self._database, self._place, self._identity, extension)
            except (PolicyFailed, DatabaseAway) as err:
                _LOG.warning("a private topic could not be written to", topic=self._place.topic, error=str(err))
                return False
            self._write[extension] = known
        return known

    async def may_read_presence(self) -> bool:
        """Whether it may see who is present, where that was not wanted at the join."""
        if self.read_presence is None:
            try:
                _, present = await _ask(self._database, _MAY_READ, self._place, self._identity, True)  # noqa: FBT003
            except (PolicyFailed, DatabaseAway) as err:
                _LOG.warning("a private topic could not be read", topic=self._place.topic, error=str(err))
                return False
            self.read_presence = bool(present)
        return self.read_presence


async def may_write(database: Database, place: Place, identity: Identity, extension: Extension) -> bool:
    """Whether the policies let this identity write. PolicyFailed, DatabaseAway."""
    (allowed,) = await _ask(database, _MAY_WRITE, place, identity, extension)
    return bool(allowed)


async def _ask(database: Database, query: str, place: Place, identity: Identity, extra: object) -> tuple[object, ...]:
    headers = json.dumps(dict(place.headers), separators=(",", ":"))
    try:
        return await database.ask_and_undo(query, (identity.role, identity.claims_text, headers, place.topic, extra))
    except (PoolTimeout, TimeoutError) as err:
        raise DatabaseAway(str(err)) from err
    except psycopg.OperationalError as err:
        if isinstance(err, psycopg.errors.QueryCanceled):
            raise PolicyFailed(str(err)) from err
        raise DatabaseAway(str(err).strip()) from err
    except (psycopg.Error, ValueError) as err:
        raise PolicyFailed(str(err).strip()) from err
