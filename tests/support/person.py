"""A person at the command line: real `cronmirror` processes beside an agent, with its configuration."""

from __future__ import annotations

import asyncio
import sys

from tests.support.agent_process import ROOT, AgentProcess
from tests.support.stack import Person


class Verb:
    """A `cronmirror` process, and what it has said so far in `out` and `err`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.out = self.err = ""
        self._reading = asyncio.gather(self._read(process.stdout, "out"), self._read(process.stderr, "err"))

    async def ended(self, timeout: float = 60) -> int:
        """The exit code."""
        async with asyncio.timeout(timeout):
            await self._reading
            return await self.process.wait()

    async def _read(self, stream: asyncio.StreamReader | None, name: str) -> None:
        while stream and (data := await stream.read(65536)):
            setattr(self, name, getattr(self, name) + data.decode())


async def cronmirror(agent: AgentProcess, *arguments: str, stdin: str = "") -> Verb:
    """Start a verb with the agent's configuration and state."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent", *arguments, "--config", str(agent.config), "--state-dir", str(agent.state)),
        cwd=ROOT,
        env=agent.environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(stdin.encode())
    process.stdin.close()
    return Verb(process)


async def sign_in(agent: AgentProcess, person: Person) -> None:
    """`cronmirror login --person`."""
    verb = await cronmirror(agent, "login", "--person", "--email", person.email, stdin=person.password + "\n")
    assert await verb.ended() == 0, verb.err
