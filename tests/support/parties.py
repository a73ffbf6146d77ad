"""People and agents who are signed in to the embedded stack, with the real clients."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID, uuid4

from agent.adapters.supabase.people import People
from agent.adapters.supabase.realtime import Pace, SupervisedRealtime
from agent.adapters.supabase.rest import Rest
from agent.adapters.supabase.rpc import Database
from agent.adapters.supabase.session import Session
from agent.adapters.supabase.target import Target
from agent.adapters.supabase.transport import open_http
from agent.model import Hello, MirrorRow, MirrorSync, WakeKind, WakeUp
from tests.support.misbehaving_supabase import WallClock
from tests.support.stack import Person, Project

SWIFT = Pace(tick_s=0.05, backoff_s=0.1, backoff_cap_s=0.5, probe_every_s=0.5)


@dataclass(frozen=True, kw_only=True)
class Side:
    """One signed-in party."""

    target: Target
    session: Session
    database: Database
    project: Project
    clock: WallClock

    @property
    def people(self) -> People:
        return People(self.database, project=self.project.project_id)

    @property
    def rest(self) -> Rest:
        return Rest(self.database, project=self.project.project_id, agent_id=self.project.agent_id)

    def realtime(self) -> SupervisedRealtime:
        who = {"project": self.project.project_id, "agent_id": self.project.agent_id}
        return SupervisedRealtime(self.target, self.session, clock=self.clock, pace=SWIFT, **who)


@contextlib.asynccontextmanager
async def side(project: Project, person: Person, *, key: str | None = None) -> AsyncIterator[Side]:
    target = Target(
        url=project.url, key=key or project.keys.publishable_key, email=person.email, password=person.password
    )
    clock = WallClock()
    async with open_http() as http:
        session = Session(target, http=http, clock=clock, load=lambda: None, save=lambda data: None)
        database = Database(target, session, http)
        yield Side(target=target, session=session, database=database, project=project, clock=clock)
        await session.aclose()


@contextlib.asynccontextmanager
async def running(*loops) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each) for each in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def hello(instance: UUID | None = None, *, takeover: bool = False) -> Hello:
    return Hello(
        instance=instance or uuid4(),
        info={"name": "Mac", "version": "1", "hostname": "attic", "platform": "test"},
        takeover=takeover,
    )


async def greeted(agent: Side) -> Rest:
    """Said hello and mirrored the job `a`."""
    rest = agent.rest
    await rest.hello(hello())
    assert (
        await rest.sync(MirrorSync(rev=1, changed=(MirrorRow(job_id="a", name="A"),), job_ids=("a",)))
    ).upserted == 1
    return rest


async def wake_of(realtime: SupervisedRealtime, kind: WakeKind) -> WakeUp:
    while (wake := await realtime.next()).kind is not kind:
        pass
    return wake
