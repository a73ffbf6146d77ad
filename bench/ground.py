"""What every measure stands on: one embedded stack, projects in it with an operator and agents, real agent processes.

`python -m agent run` is started as a service would start it, at the default log level. All of it ends with the
`async with`.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString, Self
from uuid import uuid4

import psutil
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from agent.cli.demo.operator import Operator
from bench import children

HEAD = """\
env_file: agent.env
project: {project}
agent: {{id: {agent}}}
supabase: {{url: "${{SUPABASE_URL}}", key: "${{SUPABASE_KEY}}", email: "{email}", password: "${{AGENT_PASSWORD}}"}}
"""
PATIENCE_S = 60.0

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody who can sign in."""

    email: str
    password: str
    id: str


class Agent:
    """One agent's folder (configuration, state, log) and, while it runs, its process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"
        self.log = folder / "agent.log"
        self.process: Process | None = None
        self.module = "agent"
        """What is run."""

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self.process is not None
        return self.process.pid

    async def start(self, *more: str) -> None:
        """Start it; it stops when its standard input ends, even when we are killed."""
        options = ["--config", str(self.config), "--state-dir", str(self.folder / "state"), "--log-format", "json"]
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", self.module, "run", "--until-eof", *options, *more),
                stdin=PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def stop(self) -> None:
        """End it and wait."""
        if self.process is not None:
            await children.end(self.process)

    def check(self) -> None:
        """RuntimeError with its last words when it is gone."""
        if self.process is not None and self.process.returncode is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"the agent ended with {self.process.returncode}:\n{tail}")


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project that nobody else uses."""

    id: str
    operator: Operator
    who: Person
    """The operator."""
    ground: Ground

    async def agent(self, jobs: str, *, name: str = "bench", url: str | None = None) -> Agent:
        """A folder for an agent with these jobs (YAML, everything after `supabase:`); not started."""
        who = await self.ground.person(self.id, "agent")
        agent = Agent(self.ground.folder / f"{self.id}-{name}")
        agent.folder.mkdir(mode=0o700)
        given = {
            "SUPABASE_URL": url or self.ground.url,
            "SUPABASE_KEY": self.ground.key,
            "AGENT_PASSWORD": who.password,
        }
        private(agent.folder / "agent.env", "".join(f"{name}={value}\n" for name, value in given.items()))
        private(agent.config, HEAD.format(project=self.id, agent=name, email=who.email) + jobs)
        self.ground.ends.push_async_callback(agent.stop)
        return agent

    async def mirrored(
        self, agent: Agent, jobs: int, *, realtime: bool = True, agents: int = 1, timeout_s: float = PATIENCE_S
    ) -> None:
        """Return once `jobs` rows are mirrored, the agents are online, and they hear Realtime."""

        async def ready() -> bool:
            agent.check()
            (row,) = await self.ground.sql(MIRRORED, self.id, realtime, self.id)
            return bool(row["online"] >= agents and row["jobs"] >= jobs)

        await until(ready, timeout_s=timeout_s)


MIRRORED = """
select (select count(*) from cron_agents where project_id = %s and state = 'online'
          and (not %s or realtime = 'connected')) as online,
       (select count(*) from cron_mirror where project_id = %s) as jobs
"""


class Ground:
    """Async context manager: a fresh embedded stack, in a process of its own, with the migrations applied."""

    def __init__(self) -> None:
        self.ends = AsyncExitStack()
        self.folder: Path
        self.url = ""
        self.key = ""
        self.dsn = ""
        """A superuser's, of the database that has our tables."""
        self._stack: Process
        self._asking = asyncio.Lock()
        self._postgres = 0
        self._session: psycopg.AsyncConnection[Row]

    async def __aenter__(self) -> Self:
        try:
            self.folder = Path(self.ends.enter_context(tempfile.TemporaryDirectory(prefix="cronmirror-bench-")))
            self._stack = await self.ends.enter_async_context(
                children.child("bench.stack_process", str(self.folder / "stack"))
            )
            stack = await children.answer(self._stack)
            self.url, self.key, self.dsn, self._postgres = stack["url"], stack["key"], stack["dsn"], stack["postgres"]
            self._session = await psycopg.AsyncConnection.connect(self.dsn, autocommit=True, row_factory=dict_row)
            self.ends.push_async_callback(self._session.close)
        except BaseException:
            await self.ends.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.ends.aclose()

    async def sql(self, query: LiteralString, *values: Any) -> list[Row]:
        """One statement as superuser, committed at once; `%s` placeholders."""
        cursor = await self._session.execute(query, values or None)
        return await cursor.fetchall() if cursor.description else []

    async def database(self, name: LiteralString) -> str:
        """The DSN of another database of the same cluster, made when it is not there."""
        if not await self.sql("select 1 from pg_database where datname = %s", name):
            await self.sql("create database " + name)
        return make_conninfo(self.dsn, dbname=name)

    async def project(self) -> Project:
        """A new project; its operator is signed in."""
        project_id = f"bench-{uuid4().hex[:8]}"
        await self.sql("insert into cron_projects (project_id) values (%s)", project_id)
        who = await self.person(project_id, "operator")
        operator = await self.ends.enter_async_context(Operator(self.url, self.key, project_id))
        await operator.sign_in(who.email, who.password)
        return Project(id=project_id, operator=operator, who=who, ground=self)

    async def person(self, project_id: str, role: str) -> Person:
        """A new user with this role."""
        email, password = f"{role}-{uuid4().hex[:8]}@example.com", secrets.token_hex(12)
        async with self._asking:
            assert self._stack.stdin is not None
            self._stack.stdin.write(children.line({"email": email, "password": password}))
            user = (await children.answer(self._stack))["id"]
        await self.sql(
            "insert into cron_project_members (project_id, user_id, role) values (%s, %s, %s)", project_id, user, role
        )
        return Person(email=email, password=password, id=user)

    def cpu(self, agents: Mapping[str, int]) -> dict[str, float]:
        """Processor seconds used so far: gateway, Postgres with its sessions, each agent (by pid), and their jobs."""
        used = {"gateway": own(self._stack.pid), "postgres": tree(self._postgres)}
        for name, pid in agents.items():
            used[name] = own(pid)
            used["jobs"] = used.get("jobs", 0.0) + tree(pid) - own(pid)
        return used


@asynccontextmanager
async def started(agent: Agent) -> AsyncIterator[Agent]:
    """Run an agent for as long as the block."""
    await agent.start()
    try:
        yield agent
    finally:
        await agent.stop()


async def until(
    condition: Callable[[], Awaitable[Any]], *, timeout_s: float = PATIENCE_S, every_s: float = 0.05
) -> None:
    """Wait until `condition` holds; TimeoutError when it does not in time."""
    end = time.monotonic() + timeout_s
    while not await condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {timeout_s:.0f} s: {condition!r}")
        await asyncio.sleep(every_s)


def private(path: Path, text: str) -> None:
    """A file for its owner alone."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def own(pid: int) -> float:
    """Processor seconds of one process, without its children."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def tree(pid: int) -> float:
    """Processor seconds of a process, of its descendants, and of those that have ended and were waited for."""
    total = 0.0
    top = psutil.Process(pid)
    for each in [top, *top.children(recursive=True)]:
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += (
            times.user + times.system + getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        )
    return float(total)
