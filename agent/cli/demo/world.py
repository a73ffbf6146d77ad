"""What the demo starts and ends: the embedded stack, a project with two users, a configuration, and a real agent."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from agent.app.migrations import apply_migrations
from agent.app.people import sign_in
from agent.app.place import open_place, open_state
from agent.cli.demo.operator import Operator
from agent.errors import StackError
from agent.localstack.home import FIRST_PORT
from agent.localstack.members import Members, Role
from agent.localstack.stack import LocalStack, Options

PROJECT = "demo"
OPERATOR = "operator@demo.invalid"
AGENT = "agent@demo.invalid"
AGENT_STOP_S = 10.0
AGENT_READY_S = 60.0
JOBS = Path(__file__).parent / "jobs.yaml"

MADE = ("config.yaml", "agent.env", "passwords", "agent.log", "page.log", "person.json")
"""What the demo keeps beside its stack; the agent's state comes to it."""
STATE = (
    "lock",
    "agent_id",
    "instance.json",
    "session.json",
    "last-good.yaml",
    "cronmirror.sqlite3*",
    "payloads",
    "connections",
)


class World:
    """Async context manager: entered, the agent has mirrored its jobs; left, nothing that it started is running."""

    def __init__(self, folder: Path, *, port: int | None, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"
        self.agent_log = folder / "agent.log"
        self._say = say
        self._stack = LocalStack(
            folder / "stack",
            port=port or FIRST_PORT,
            next_free=port is None,
            options=Options(project=PROJECT),
            progress=say,
            prepare=self._migrate,
        )
        self._password_file = folder / "passwords"
        self._agent: asyncio.subprocess.Process | None = None
        self.operator: Operator
        self._operator_id: UUID

    @property
    def url(self) -> str:
        """Where the gateway answers."""
        return self._stack.url

    @property
    def has_page(self) -> bool:
        """Whether the dashboard is built."""
        return self._stack.has_page

    def page_link(self, *, once: bool = False) -> str:
        """An address that opens the dashboard signed in as the operator; `once`: one time only."""
        return self._stack.invite(self._operator_id, once=once)

    async def __aenter__(self) -> Self:
        open_state(self.folder, PROJECT)  # ours alone, or refused: what is in it decides what runs
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _start(self) -> None:
        await self._stack.start()
        password = await self._people()
        self._write_config(password)
        self._say("starting the agent")
        await self._start_agent()
        self.operator = Operator(self._stack.url, self._stack.keys.publishable_key, PROJECT)
        await self.operator.sign_in(OPERATOR, password)
        await self._sign_in_here(password)
        self._say("waiting until the agent has mirrored its jobs")
        await self._ready()

    async def _migrate(self, dsn: str) -> None:
        self._say("applying the migrations")
        await apply_migrations(dsn, say=lambda _: None)

    async def _people(self) -> str:
        """An operator and an agent user, members of the project; their password, the same as last time."""
        if not self._password_file.exists():
            self._password_file.touch(mode=0o600)
            self._password_file.write_text(secrets.token_urlsafe(24), encoding="utf-8")
        password = self._password_file.read_text(encoding="utf-8")
        self._operator_id = await self._stack.create_user(OPERATOR, password)
        agent_id = await self._stack.create_user(AGENT, password)
        roles: dict[UUID, Role] = {self._operator_id: "admin", agent_id: "agent"}
        await Members(self._stack.dsn).add(PROJECT, roles)
        return password

    def _write_config(self, password: str) -> None:
        """The jobs stay as the person edited them; addresses and keys are this start's."""
        if not self.config.exists():
            shutil.copyfile(JOBS, self.config)
            self.config.chmod(0o600)
        environment = {
            "SUPABASE_URL": self._stack.url,
            "SUPABASE_PUBLISHABLE_KEY": self._stack.keys.publishable_key,
            "CRONMIRROR_PASSWORD": password,
        }
        env_file = self.folder / "agent.env"
        env_file.touch(mode=0o600)
        env_file.write_text("".join(f"{name}={value}\n" for name, value in environment.items()), encoding="utf-8")

    async def _sign_in_here(self, password: str) -> None:
        """So that `cronmirror request` works in another terminal, as after `cronmirror login --person`."""
        place = open_place(self.config, self.folder)
        await sign_in(place.config, place.state, OPERATOR, password, person=True)

    async def _start_agent(self) -> None:
        options = ["--config", str(self.config), "--state-dir", str(self.folder), "--log-format", "json"]
        self.agent_log.write_bytes(b"")
        with self.agent_log.open("ab") as log:
            self._agent = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "agent"),  # -P: nothing is imported from the folder we happen to be in
                *("run", "--until-eof", "--log-level", "debug", *options),
                stdin=asyncio.subprocess.PIPE,  # its end ends the agent, even when we are killed
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C on the terminal is ours to pass on
                env=os.environ,
            )

    async def _ready(self) -> None:
        """Return once every job of the configuration is in the mirror and Realtime is connected."""
        for _ in range(round(AGENT_READY_S / 0.1)):
            agents, jobs = await asyncio.gather(
                self.operator.select("cron_agents"), self.operator.select("cron_mirror")
            )
            if jobs and agents and agents[0]["state"] == "online" and agents[0]["realtime"] == "connected":
                return
            if self._agent is not None and self._agent.returncode is not None:
                break
            await asyncio.sleep(0.1)
        tail = "\n".join(self.agent_log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])
        raise StackError(f"the agent did not get ready; its log, {self.agent_log}, ends with:\n{tail}")

    async def _stop(self) -> None:
        if self._agent is not None and self._agent.returncode is None:
            self._say("stopping the agent")
            for stop in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
                self._agent.send_signal(stop)
                try:
                    await asyncio.wait_for(self._agent.wait(), AGENT_STOP_S)
                    break
                except TimeoutError:
                    continue
        if hasattr(self, "operator"):
            await self.operator.__aexit__()
        self._say("stopping Postgres and the gateway")
        await self._stack.stop()


def erase(folder: Path) -> None:
    """Remove what earlier demos made in `folder`, and nothing else: a wrong `--dir` must not cost anybody a home.

    Raises `StackError` where no demo ever was, or where one is running.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / "stack" / "keys.json").is_file():
        raise StackError(
            f"{folder} was not made by a demo; it is left as it is",
            hint="Choose another folder with --dir, or remove this one by hand.",
        )
    LocalStack(folder / "stack").erase()
    for made in [each for pattern in (*MADE, *STATE) for each in folder.glob(pattern)]:
        shutil.rmtree(made) if made.is_dir() else made.unlink()
