"""Files notices: judges the ends of runs, the connections' changes and the configuration's faults.

What is filed is on disk, in one transaction with what was judged: a crash neither loses a notice nor says it twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from agent.errors import StateError
from agent.model import (
    Alert,
    Change,
    FailureKind,
    Json,
    Notice,
    NoticeType,
    NotifyRules,
    Severity,
    Standing,
)
from agent.notices.connections import notice_of
from agent.notices.jobs import Bench, JobBook, judge
from agent.notices.telling import tell
from agent.notices.texts import config_error_text
from agent.pace import Bell, first
from agent.ports import Clock, NoticeStore, Redact

log = structlog.get_logger()

BATCH = 500
GATHER_S = 0.5
"""After the first end: what ends together (all that a sleep missed) is judged together."""
LOOK_EVERY_S = 15.0
"""At the configuration: it has no news of its own to wait for."""
MENDING_S = 60.0
"""A mistake in the YAML is news when it still stands so long after it was saved: whoever is editing knows it."""
REST_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who speaks."""

    agent_id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What the desk looks at."""

    jobs: JobBook
    rules: Callable[[], NotifyRules]
    config_error: Callable[[], str | None]
    standings: Callable[[], Sequence[Standing]]
    """Of the connections."""
    redact: Redact


class Desk:
    """One loop. `filed` is called whenever something has been filed."""

    def __init__(
        self, store: NoticeStore, sources: Sources, identity: Identity, clock: Clock, filed: Callable[[], None]
    ) -> None:
        self._store = store
        self._sources = sources
        self._identity = identity
        self._clock = clock
        self._filed = filed
        self._asked = Bell()
        self._changes: list[Change] = []
        self._broken_since: datetime | None = None
        self._said: set[str] = set()
        """Keys of connections' ends that are filed for certain."""

    def on_change(self, change: Change) -> None:
        """`agent.ports.ChangeListener`: a connection stands otherwise than before."""
        if change.alert is not None:
            self._changes.append(change)
            self._asked.ring()

    async def run(self) -> None:
        """File what is news, for ever."""
        while True:
            await first(self._store.wait_ended(), self._asked.heard(), self._clock.sleep(LOOK_EVERY_S))
            await self._clock.sleep(GATHER_S)
            try:
                await self.look()
            except StateError as error:
                log.error("notices wait: the journal cannot be used", error=str(error))  # noqa: TRY400 - said already
                await self._clock.sleep(REST_S)

    async def look(self) -> None:
        """Judge everything that is there once. Raises `StateError`."""
        while await self._judge_ends():
            pass
        await self._judge_changes()
        await self._judge_standings()
        await self._judge_configuration()

    async def _judge_ends(self) -> bool:
        ends = await self._store.ended(BATCH)
        if not ends:
            return False
        rules, who = self._sources.rules(), self._identity
        bench = Bench(
            agent_id=who.agent_id, agent_name=who.name, jobs=self._sources.jobs, realert_every_s=rules.realert_every_s
        )
        found = judge(ends, await self._store.standings(), bench, self._clock.now())
        await self._file(*found.notices, up_to=ends[-1].seq, standings=found.standings)
        return True

    async def _judge_changes(self) -> None:
        while self._changes:
            notice = notice_of(self._changes[0], self._identity.agent_id)
            if notice is not None:
                await self._file(notice)
            del self._changes[0]

    async def _judge_standings(self) -> None:
        """A connection may have ended in another process (`cronmirror exec`), or just before a crash."""
        for standing in self._sources.standings():
            refused = standing.last_failure_kind is FailureKind.PERMANENT and standing.consecutive_failures > 0
            if not (standing.needs_reauth and refused):
                continue
            change = Change(before=standing, after=standing, at=self._clock.now(), alert=Alert.DISCONNECTED)
            notice = notice_of(change, self._identity.agent_id)
            if notice is not None and notice.dedupe_key not in self._said:
                await self._file(notice)
                self._said.add(notice.dedupe_key)

    async def _judge_configuration(self) -> None:
        """Broken for a while: said once. Mended: the next mistake is another one."""
        subject, now = f"agent:{self._identity.agent_id}", self._clock.now()
        error = self._sources.config_error()
        told = subject in await self._store.standings()
        if error is None:
            self._broken_since = None
            if told:
                await self._store.judge(standings={subject: None})
            return
        self._broken_since = self._broken_since or now
        if told or now - self._broken_since < timedelta(seconds=MENDING_S):
            return
        change = f"{self._identity.agent_id}:{self._broken_since.isoformat()}"
        text = config_error_text(error, self._identity.name)
        said = tell(NoticeType.CONFIG_ERROR, Severity.WARNING, subject, now, change, text)
        await self._file(said, standings={subject: {"config_error_since": self._broken_since.isoformat()}})

    async def _file(
        self, *notices: Notice, up_to: int | None = None, standings: Mapping[str, Json] | None = None
    ) -> None:
        clean = [self._redacted(notice) for notice in notices]
        await self._store.judge(up_to=up_to, standings=standings, notices=clean)
        for notice in clean:
            if notice.shared is not None and notice.shared.still:
                continue  # whether it is one, the project's list says
            log.info("notice", type=notice.type, severity=notice.severity, subject=notice.subject, title=notice.title)
        if clean:
            self._filed()

    def _redacted(self, notice: Notice) -> Notice:
        redact = self._sources.redact
        return replace(notice, title=redact(notice.title), body=redact(notice.body))
