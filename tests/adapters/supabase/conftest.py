"""A misbehaving Supabase on loopback and the clients under test, closed again after each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from agent.adapters.supabase.people import People
from agent.adapters.supabase.rest import Rest
from agent.adapters.supabase.rpc import Database
from agent.adapters.supabase.session import Session
from agent.adapters.supabase.target import Target
from agent.adapters.supabase.transport import open_http
from tests.support.misbehaving_supabase import ANON, EMAIL, PASSWORD, MisbehavingSupabase, WallClock


class Store:
    """The session file."""

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.saves = 0

    def load(self) -> bytes | None:
        return self.data

    def save(self, data: bytes) -> None:
        self.data = data
        self.saves += 1


@pytest.fixture
async def fake() -> AsyncIterator[MisbehavingSupabase]:
    async with MisbehavingSupabase().serving() as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with open_http() as client:
        yield client


@pytest.fixture
def clock() -> WallClock:
    return WallClock()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def target(fake) -> Target:
    return Target(url=fake.url, key=ANON, email=EMAIL, password=PASSWORD, realtime_url=fake.realtime.url)


MakeSession = Callable[..., Session]


@pytest.fixture
async def make_session(http, clock, store) -> AsyncIterator[MakeSession]:
    made: list[Session] = []

    def make(target: Target, *, clock=clock, store=store) -> Session:
        made.append(Session(target, http=http, clock=clock, load=store.load, save=store.save))
        return made[-1]

    yield make
    for session in made:
        await session.aclose()


@pytest.fixture
def session(make_session, target) -> Session:
    return make_session(target)


@pytest.fixture
def database(target, session, http) -> Database:
    return Database(target, session, http)


@pytest.fixture
def rest(database) -> Rest:
    return Rest(database, project="home-lab", agent_id="mac-mini")


@pytest.fixture
def people(database) -> People:
    return People(database, project="home-lab")
