"""Where one round happens: a project, agents, the proxy between them and the gateway, and dice that fall as seeded."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import random
import signal
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from tests.support.agent_process import AgentProcess
from tests.support.fault_proxy import FaultProxy
from tests.support.ledger import Broken, Kind, Ledger
from tests.support.stack import Person, Project, StackThread
from tests.support.waiting import lapse, wait_until

HEAD = """\
project: {project}
agent: {{id: {agent}}}
supabase: {{url: "${{SUPABASE_URL}}", key: "${{SUPABASE_KEY}}", email: "{email}", password: "${{AGENT_PASSWORD}}"}}
sync: {{mirror_every: 30s, poll_every: 1s}}
"""
PATIENCE_S = 300.0
"""For anything that has to happen at last: generous, for the machine may be busy with other things."""
WARM_POOL = 5
"""Connections that the agent's HTTP client keeps for the next call."""
PENDING = "select count(*) from outbox where aside is null"


@dataclass(kw_only=True)
class World:
    """Surroundings of a round. `size` is 1 in the bounded form and more in the long one."""

    stack: StackThread
    project: Project
    proxy: FaultProxy
    ledger: Ledger
    folder: Path
    rng: random.Random
    long: bool = False
    agents: list[AgentProcess] = field(default_factory=list)
    kills: int = 0
    recoveries: list[float] = field(default_factory=list)
    """Seconds from the end of a fault to the end of the next press of Run."""
    found: list[Broken] = field(default_factory=list)
    """What a story itself found broken."""
    _began: dict[str, datetime] = field(default_factory=dict)
    rooms: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """What has to be taken down after the verdict."""

    def times(self, bounded: int, long: int) -> int:
        """How often something is done."""
        return long if self.long else bounded

    # ── agents ──────────────────────────────────────────────────────────────

    def new_agent(
        self, name: str = "mac", *, jobs: str | None = None, person: Person | None = None, url: str | None = None
    ) -> AgentProcess:
        """An agent that is not started yet; `start` it."""
        head = HEAD.format(project=self.project.project_id, agent=name, email=(person or self.project.agent).email)
        secrets = {
            "SUPABASE_URL": url or self.proxy.url,
            "SUPABASE_KEY": self.project.keys.publishable_key,
            "AGENT_PASSWORD": (person or self.project.agent).password,
        }
        agent = AgentProcess(self.folder / name, head + (self.ledger.jobs if jobs is None else jobs), secrets)
        self.agents.append(agent)
        return agent

    async def ready_agent(self, name: str = "mac", **more: Any) -> AgentProcess:
        """One that has mirrored its jobs and hears Realtime."""
        agent = self.new_agent(name, **more).start()
        await self.hears(name)
        return agent

    async def hears(self, name: str = "mac") -> None:
        """Wait until Supabase shows the agent as connected, with its jobs."""

        def shown() -> list[Any]:
            return self.project.sql(
                "select 1 from cron_agents a join cron_mirror m using (project_id) where a.project_id = %s "
                "and a.agent_id = %s and a.realtime = 'connected' and a.agent_id = any (m.agent_ids) limit 1",
                *(self.project.project_id, name),
            )

        await wait_until(shown, PATIENCE_S)

    def kill(self, agent: AgentProcess) -> None:
        """SIGKILL, and at once the next life."""
        self.ledger.may_be_lost = True
        self.kills += 1
        agent.kill()
        agent.start()
        self._began[agent.folder.name] = datetime.now(UTC)

    def works(self, agent: AgentProcess) -> bool:
        """Whether its present life has been heard by the server."""
        rows = self.project.sql(
            "select last_seen_at from cron_agent_beats where project_id = %s and agent_id = %s",
            *(self.project.project_id, agent.folder.name),
        )
        began = self._began.get(agent.folder.name)
        return bool(rows) and (began is None or rows[0]["last_seen_at"] > began)

    @contextlib.contextmanager
    def frozen(self, agent: AgentProcess) -> Iterator[None]:
        """SIGSTOP, and SIGCONT afterwards whatever happens."""
        self.ledger.may_be_lost = True
        self.kills += 1
        agent.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            agent.signal(signal.SIGCONT)

    # ── time and load ───────────────────────────────────────────────────────

    async def lapse(self, least: float, most: float | None = None) -> None:
        """An instant chosen by the dice: faults hit at random times."""
        await lapse(least if most is None else self.rng.uniform(least, most))

    def press(self, count: int = 1, *jobs: str) -> None:
        """Press Run for random jobs of these, or of all that can be asked for."""
        for _ in range(count):
            self.ledger.press(self.rng.choice(jobs or self.ledger.REQUESTED))

    async def recovered(self, job: str = "quick") -> None:
        """Called when a fault has just been lifted: press Run, and measure until it is done."""
        began = time.monotonic()
        await self._done(self.ledger.press(job))
        self.recoveries.append(time.monotonic() - began)

    async def descriptors(self, agent: AgentProcess) -> Descriptors:
        """What the agent holds open between two runs, once it has had one: some things are opened with the first."""
        await self._done(self.ledger.press("quick"))
        return await wait_until(lambda: (now := Descriptors.of(agent)).idle and now, PATIENCE_S)

    async def _done(self, request_id: str) -> None:
        def ended() -> bool:
            if not self.ledger.insist():
                return False
            rows = self.project.sql("select status from cron_run_requests where id = %s", request_id)
            return bool(rows) and rows[0]["status"] in ("done", "error")

        await wait_until(ended, PATIENCE_S)

    async def schedule_goes_on(self) -> None:
        """Wait until every job with slots has a row of a slot that is still to come."""
        (now,) = self.project.sql("select clock_timestamp() as at")

        def later() -> bool:
            rows = self.project.sql(
                "select distinct job_id from cron_runs where project_id = %s and scheduled_for > %s",
                *(self.project.project_id, now["at"]),
            )
            return {row["job_id"] for row in rows} >= self.ledger.work.every_s.keys()

        await wait_until(later, PATIENCE_S)

    # ── the end ─────────────────────────────────────────────────────────────

    async def settled(self) -> None:
        """Wait until every request has ended, and every agent is up and has reported all it knew at some moment."""
        await self.ledger.settled(PATIENCE_S)
        for agent in self.agents:
            if agent.process is not None and agent.process.poll() is None:
                await wait_until(lambda agent=agent: self.works(agent), PATIENCE_S)
                await wait_until(lambda agent=agent: unsent(agent) == 0, PATIENCE_S)

    async def goodbye(self) -> None:
        """Stop every agent as a person would, then see what each left behind."""
        self.ledger.may_be_lost = self.ledger.may_be_lost or bool(self.kills)
        for agent in self.agents:
            if agent.process is not None:
                code = await asyncio.to_thread(agent.stop)
                self.found += _left_by(agent, code)

    def broken(self) -> list[Broken]:
        """Everything that is not as promised; to be asked after `goodbye`."""
        twice = self.project.sql(
            "select e.request_id::text as id, count(*) as times from chaos.endings e "
            "join cron_run_requests r on r.id = e.request_id and r.project_id = %s "
            "where e.became in ('done', 'error') or e.was in ('done', 'error') group by 1 having count(*) <> 1",
            self.project.project_id,
        )
        ended = [Broken(kind=Kind.DOUBLED, what=f"request {row['id']} ended {row['times']} times") for row in twice]
        return self.found + ended + self.ledger.broken()


def unsent(agent: AgentProcess) -> int:
    """Reports that an agent has on disk and Supabase has not acknowledged; 0 where there is no journal."""
    journal = agent.state / "cronmirror.sqlite3"
    if not journal.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as connection:
        return int(connection.execute(PENDING).fetchone()[0])


@dataclass(frozen=True, kw_only=True)
class Descriptors:
    """What a living process holds open."""

    files: int
    sockets: int
    idle: bool
    """No run has pipes open."""

    @classmethod
    def of(cls, agent: AgentProcess) -> Descriptors:
        """Now. Jobs that run hold some more for a moment."""
        held = Path(f"/proc/{agent.pid}/fd").iterdir() if Path("/proc").is_dir() else ()
        links = [_target(each) for each in held if each.name != "0"]  # that one is the tests', see `AgentProcess`
        sockets = sum(link.startswith("socket:") for link in links)
        files = (len(links) or psutil.Process(agent.pid).num_fds()) - sockets
        return cls(files=files, sockets=sockets, idle=not any(link.startswith("pipe:") for link in links))

    async def again(self, agent: AgentProcess) -> list[Broken]:
        """Wait until the agent holds no more than this, a warm pool of connections aside."""

        def fewer() -> bool:
            now = Descriptors.of(agent)
            return now.files <= self.files and now.sockets <= self.sockets + WARM_POOL

        try:
            await wait_until(fewer, 60)
        except AssertionError:
            now = Descriptors.of(agent)
            return [Broken(kind=Kind.STUCK, what=f"{agent.folder.name} holds {now}, and {self} before the faults")]
        return []


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _left_by(agent: AgentProcess, code: int) -> Sequence[Broken]:
    """How an agent must not end: badly, with a fault of its own in the log, its state locked, its reports unsent."""
    name, log = agent.folder.name, agent.log.read_text(errors="replace")
    left = [f"{name} ended with {code}"] if code else []
    left += [f"{name} has a traceback in its log"] if "Traceback" in log else []
    left += [f"{name}: a loop ended"] if agent.events("loop ended") else []
    left += [f"{name}: a report was set aside"] if agent.events("report set aside: the server refuses it") else []
    left += [f"{name} has {count} unsent reports"] if (count := unsent(agent)) else []
    with (agent.state / "lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            left.append(f"the state directory of {name} is locked")
    return [Broken(kind=Kind.STUCK, what=what) for what in left]
