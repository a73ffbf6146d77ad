"""PostgreSQL's client programs (`pg_dump` and its kin) beside a running server, their password in the environment."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg.conninfo import conninfo_to_dict

from agent.errors import StackError
from agent.localstack.binaries import Binaries
from agent.localstack.orphans import end_process
from agent.localstack.server import CLEAN_ENVIRONMENT

SAID_BYTES = 4000


class Programs:
    """Those of `binaries`, talking to the server at `dsn`."""

    def __init__(self, binaries: Binaries, dsn: str) -> None:
        facts = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
        self._binaries = binaries
        self._environment = {
            **CLEAN_ENVIRONMENT,
            "PGHOST": facts["host"],
            "PGUSER": facts["user"],
            "PGPASSWORD": facts["password"],
            "PGDATABASE": facts["dbname"],
            "PGCLIENTENCODING": "UTF8",
        }

    @asynccontextmanager
    async def running(self, name: str, *options: str, reads: bool = False) -> AsyncIterator[Process]:
        """One program; its stdout is a pipe, its stdin too where it `reads`. StackError when it fails."""
        program = self._binaries.program(name)
        if not program.exists():
            raise StackError(
                f"{program} is not there", hint="Install PostgreSQL's client programs, or cronmirror[local]."
            )
        process = await asyncio.create_subprocess_exec(
            str(program),
            *options,
            env=self._environment,
            cwd="/",
            stdin=PIPE if reads else DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
        )
        assert process.stderr is not None  # noqa: S101 # a pipe
        said = asyncio.create_task(_tail(process.stderr), name=f"{name} stderr")
        try:
            yield process
            if process.stdin:
                process.stdin.close()
            code = await process.wait()
        finally:
            await end_process(process)
            words = await said
        if code:
            raise StackError(f"{name} failed:\n{words.strip()}")

    async def output(self, name: str, *options: str) -> bytes:
        """What one program writes to stdout."""
        async with self.running(name, *options) as process:
            assert process.stdout is not None  # noqa: S101 # a pipe
            return await process.stdout.read()


async def _tail(stream: asyncio.StreamReader) -> str:
    """Read all of it, so that nobody is kept waiting; the end of it."""
    kept = b""
    while block := await stream.read(65536):
        kept = (kept + block)[-SAID_BYTES:]
    return kept.decode(errors="replace")
