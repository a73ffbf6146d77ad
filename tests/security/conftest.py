"""Attackers: each holds what somebody really could hold, and speaks plain HTTP to the real stack."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.e2e.conftest import operator, start_agent  # noqa: F401 - fixtures
from tests.support.stack import Person, Project


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The publishable key, and perhaps somebody's login."""

    http: httpx.AsyncClient
    project: Project

    async def rpc(self, name: str, **arguments: Any) -> httpx.Response:
        return await self.http.post(f"/rest/v1/rpc/{name}", json=arguments)

    async def rows(self, table: str, **filters: str) -> list[dict[str, Any]]:
        """What it may read; a table that is closed altogether shows nothing."""
        answer = await self.http.get(f"/rest/v1/{table}", params=filters)
        return answer.json() if answer.is_success else []

    async def insert(self, **row: Any) -> httpx.Response:
        """A request, as a page inserts it."""
        row = {"project_id": self.project.project_id, "job_id": "a", "status": "queued", **row}
        return await self.http.post("/rest/v1/cron_run_requests", json=row)

    async def hello(self, agent_id: str, **more: Any) -> httpx.Response:
        who = {"p_project": self.project.project_id, "p_agent": agent_id, "p_epoch": 0}
        about = {"p_instance": str(uuid4()), "p_info": {}, "p_known": []}
        return await self.rpc("cron_agent_hello", **{**who, **about, **more})

    async def sync(self, agent_id: str, *jobs: dict[str, Any], epoch: int = 1) -> httpx.Response:
        who = {"p_project": self.project.project_id, "p_agent": agent_id, "p_epoch": epoch}
        changed = [{"name": job["job_id"], "enabled": True, **job} for job in jobs]
        return await self.rpc("cron_sync_mirror", **who, p_rev=1, p_changed=changed, p_job_ids=None)


CallAs = Callable[..., Any]


@pytest.fixture
async def call_as(project: Project) -> AsyncIterator[CallAs]:
    """Signs a person in; nobody given: the publishable key alone."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(person: Person | None = None, *, key: str | None = None) -> Caller:
            headers = {"apikey": key or project.keys.publishable_key}
            http = await stack.enter_async_context(httpx.AsyncClient(base_url=project.url, headers=headers, timeout=20))
            if person is not None:
                credentials = {"email": person.email, "password": person.password}
                session = await http.post("/auth/v1/token", params={"grant_type": "password"}, json=credentials)
                http.headers["authorization"] = f"Bearer {session.json()['access_token']}"
            return Caller(http=http, project=project)

        yield make
