"""The stacks that rounds live on: one that rounds share, and brittle ones that are theirs alone to break."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from agent.localstack.stack import Options
from tests.support.stack import Project, StackThread, new_project

BRIEF_TOKEN_S = 8
NEVER_PRUNED = "update cron_projects set pruned_at = now() + interval '1 day' where project_id = %s"
"""Retention keeps 200 runs of a job: rows that it removed would look lost."""
ENDINGS = """
create schema if not exists chaos;
create table if not exists chaos.endings (request_id uuid, was text, became text);
create or replace function chaos.note() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into chaos.endings (request_id, was, became) values (new.id, old.status, new.status);
  return null;
end $$;
create or replace trigger chaos_note after update of status on public.cron_run_requests
for each row when (old.status is distinct from new.status) execute function chaos.note();
"""
"""Every change of a request's status is written down by the database itself: who ended twice cannot hide it."""


class Houses:
    """Close it when the last round is over."""

    def __init__(self) -> None:
        self._rooms = contextlib.ExitStack()
        self._shared: StackThread | None = None
        self._door = threading.Lock()

    def shared(self) -> StackThread:
        """The stack for rounds that leave it whole; started when it is first needed."""
        with self._door:
            if self._shared is None:
                folder = self._rooms.enter_context(tempfile.TemporaryDirectory(prefix="cronmirror-chaos-stack-"))
                self._shared = self._rooms.enter_context(_standing(Path(folder), Options(fsync=False, bcrypt_rounds=4)))
            return self._shared

    @contextlib.contextmanager
    def brittle(self, folder: Path) -> Iterator[StackThread]:
        """A stack for one round: durable as a real one, always at the same port, with tokens that soon expire."""
        with _standing(folder, Options(token_ttl_s=BRIEF_TOKEN_S, leeway_s=0, bcrypt_rounds=4)) as stack:
            yield stack

    def close(self) -> None:
        """End every stack."""
        self._rooms.close()


def settle_in(stack: StackThread) -> Project:
    """A new project on it."""
    project = new_project(stack)
    stack.sql(NEVER_PRUNED, project.project_id)
    return project


@contextlib.contextmanager
def _standing(folder: Path, options: Options) -> Iterator[StackThread]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    stack = StackThread(folder, port=port, options=options)
    try:
        stack.start()
        stack.migrate()
        stack.sql(ENDINGS)
        yield stack
    finally:
        stack.close()
