"""The PostgreSQL server process, and the shell that watches over it so that it never outlives us."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

from agent.errors import StackError
from agent.localstack.binaries import Binaries
from agent.localstack.footing import Footing, give
from agent.localstack.orphans import WATCHER, end_process, is_ready
from agent.localstack.rotation import rotate

START_S = 60.0
CLEAN_ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC", "HOME": "/"}
SMALL = {
    "shared_buffers": "32MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "max_connections": "80",
    "max_wal_size": "128MB",
    "min_wal_size": "32MB",
    "max_worker_processes": "2",
    "max_logical_replication_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "autovacuum_max_workers": "1",
    "jit": "off",
}
"""A server that idles in under 20 MB beside the agent."""
BEHAVIOUR = {
    "listen_addresses": "",
    "wal_level": "logical",
    "max_replication_slots": "10",
    "max_wal_senders": "10",
    "max_slot_wal_keep_size": "512MB",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements carry payloads and tokens: they stay out of the log.
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}
UNSAFE = {"fsync": "off", "full_page_writes": "off"}
"""For tests: nothing in the folder has to survive the machine. Not `synchronous_commit`, too: the change feed sees a
commit when it is flushed, 200 ms later where that is off."""
BUILTIN_LOCALES_SINCE = 17
IO_WORKERS_SINCE = 18


class Server:
    """One server on `footing`'s data; may be launched again after it ended."""

    def __init__(
        self, footing: Footing, *, socket_dir: Path, log_path: Path, durable: bool, data: str = "data"
    ) -> None:
        self.footing = footing
        self.socket_dir = socket_dir
        self._data = data
        self._log_path = log_path
        self._durable = durable
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.subprocess.Process | None = None

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.footing.folder / self._data

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    def beside(self, *, binaries: Binaries | None = None, data: str | None = None, sockets: str = "") -> Server:
        """One in the same place that differs in its programs, its data or the folder of its socket (below ours)."""
        footing = replace(self.footing, binaries=binaries or self.footing.binaries)
        place = self.socket_dir / sockets
        return Server(
            footing, socket_dir=place, log_path=self._log_path, durable=self._durable, data=data or self._data
        )

    async def create(self, password: str) -> None:
        """Run initdb into a draft folder, so that an interrupted one leaves no half cluster."""
        identity, home = self.footing.identity, self.footing.folder
        draft, secret = home / "data.new", home / "password.new"
        await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
        secret.unlink(missing_ok=True)
        secret.touch(0o600)
        secret.write_text(password)
        if identity.owner:
            give(secret, identity.owner)
        try:
            code, said = await self._run(self._initdb(draft, secret))
        finally:
            secret.unlink(missing_ok=True)
        if code != 0:
            raise StackError(f"initdb failed in {home}:\n{said.strip()[-2000:]}")
        draft.rename(self.data)

    def _initdb(self, draft: Path, secret: Path) -> list[str]:
        command = [str(self.footing.binaries.program("initdb")), "-D", str(draft), "-U", "postgres"]
        command += [f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--wal-segsize=4", "--locale=C"]
        if self.footing.binaries.major >= BUILTIN_LOCALES_SINCE:
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return command if self._durable else [*command, "--no-sync"]

    async def _run(self, command: list[str]) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *self.footing.identity.prefix,
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=CLEAN_ENVIRONMENT,
            **self.footing.identity.arguments(),
        )
        try:
            said, _ = await process.communicate()
        finally:
            await end_process(process)
        return process.returncode, said.decode(errors="replace")

    async def launch(self) -> None:
        """Start server and watcher; return when it answers, StackError when it ends instead."""
        command = [str(self.footing.binaries.program("postgres")), "-D", str(self.data)]
        for name, value in self._settings().items():
            command += ["-c", f"{name}={value}"]
        with self._open_log() as log_file:
            self._process = await asyncio.create_subprocess_exec(
                *self.footing.identity.prefix,
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                env=CLEAN_ENVIRONMENT,
                **self.footing.identity.arguments(),
            )
        self._watcher = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", WATCHER, "cronmirror-watcher"),
            *(str(self._process.pid), str(self.data / "postmaster.pid"), str(self.socket_dir)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        await self._until_ready(self._process)

    async def wait(self) -> int | None:
        """The exit code, once it has ended; None if it does not run."""
        return await self._process.wait() if self._process else None

    async def end(self) -> None:
        """Stop it (fast, then by force) and send the watcher away."""
        if self._process:
            await end_process(self._process)
            self._process = None
        if self._watcher and self._watcher.stdin:
            with contextlib.suppress(OSError):
                self._watcher.stdin.write(b"done\n")
                await self._watcher.stdin.drain()
            self._watcher.stdin.close()
            await self._watcher.wait()
            self._watcher = None

    def _settings(self) -> dict[str, str]:
        settings: Mapping[str, str] = SMALL | BEHAVIOUR | ({} if self._durable else UNSAFE)
        sockets = {"unix_socket_directories": str(self.socket_dir), "unix_socket_permissions": "0700"}
        # 18 would start three I/O workers.
        lean = {"io_method": "sync"} if self.footing.binaries.major >= IO_WORKERS_SINCE else {}
        return {**settings, **sockets, **lean}

    def _open_log(self) -> IO[bytes]:
        rotate(self._log_path)
        return self._log_path.open("ab")

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        end = asyncio.get_running_loop().time() + START_S
        while not is_ready(self.data, process.pid):
            if process.returncode is not None:
                raise StackError(f"PostgreSQL ended while starting; the end of {self._log_path}:\n{self._log_tail()}")
            if asyncio.get_running_loop().time() > end:
                raise StackError(f"PostgreSQL did not become ready within {START_S:.0f} s; see {self._log_path}")
            await asyncio.sleep(0.01)

    def _log_tail(self) -> str:
        return self._log_path.read_text(errors="replace").strip()[-1500:]
