"""Desk and post of an agent over a real journal, for tests: everything around them is in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.adapters.sqlite import Journal
from agent.model import Channel, NotifyRules, RunStatus, Standing
from agent.notices.desk import Desk, Identity, Sources
from agent.notices.post import Addresses, Desks, Post
from agent.run.redact import Redactor
from tests.support.clock import VirtualClock
from tests.support.fake_stages import FakeJobs, a_job
from tests.support.notices import FakeCourier, FakeGate, FakeList
from tests.support.reports import SLOT, a_report

PHONE = Channel(name="phone", url="ntfy://phone")


@dataclass
class Office:
    """Desk and post of one agent; time passes when a test says so."""

    journal: Journal
    clock: VirtualClock
    rules: NotifyRules = field(default_factory=lambda: NotifyRules(channels=(PHONE,)))
    jobs: FakeJobs = field(default_factory=lambda: FakeJobs(a_job("a"), a_job("b")))
    list: FakeList = field(default_factory=FakeList)
    courier: FakeCourier = field(default_factory=FakeCourier)
    gate: FakeGate = field(default_factory=FakeGate)
    config_error: str | None = None
    standings: tuple[Standing, ...] = ()
    agent_id: str = "mac"

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        """A new process, so to speak: everything that counts is in the journal."""
        identity, redact = Identity(agent_id=self.agent_id, name=self.agent_id.title()), Redactor(["s3cret-value"])
        self.post = Post(
            Desks(store=self.journal.notices, calls=self.list, courier=self.courier, gate=self.gate),
            Addresses(rules=lambda: self.rules, jobs=self.jobs, redact=redact),
            identity,
            self.clock,
        )
        sources = Sources(
            jobs=self.jobs,
            rules=lambda: self.rules,
            config_error=lambda: self.config_error,
            standings=lambda: self.standings,
            redact=redact,
        )
        self.desk = Desk(self.journal.notices, sources, identity, self.clock, self.post.kick)

    async def pass_by(self, seconds: float = 0.0) -> None:
        """So much time, then one look of both."""
        await self.clock.advance(seconds)
        await self.desk.look()
        await self.post.round()

    async def ran(self, status: RunStatus = RunStatus.ERROR, job_id: str = "a", **values) -> None:
        await self.journal.record(a_report(job_id=job_id, status=status, started_at=SLOT, finished_at=SLOT, **values))

    @property
    def titles(self) -> list[str]:
        return [title for _, title in self.courier.sent]

    def states(self) -> dict[str, dict[str, str]]:
        """By title, as Supabase shows them: channel → state."""
        return {
            self.list.rows[notice_id].title: {name: each["state"] for name, each in channels.items()}
            for notice_id, channels in self.list.deliveries.items()
        }
