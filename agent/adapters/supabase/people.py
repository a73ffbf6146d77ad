"""What people do in a project: ask for a run, cancel it, look at it. Used by the command line.

Rows come back as the JSON objects that docs/rpc.md describes; errors are those of `rpc.Database`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from agent.adapters.supabase.rpc import Database
from agent.adapters.supabase.wire import instant
from agent.model import Json


class People:
    """One project as a signed-in person sees it."""

    def __init__(self, database: Database, *, project: str) -> None:
        self._database = database
        self._project = project

    async def request_run(
        self,
        job_id: str,
        payload: Json = None,
        *,
        run_at: datetime | None = None,
        max_attempts: int | None = None,
        dedupe_key: str | None = None,
        request_id: UUID | None = None,
    ) -> dict[str, Json]:
        """`cron_request_run`: `{"id","status","existing","agent_ids","server_time"}`; the same id asks once."""
        return await self._database.rpc(
            "cron_request_run",
            {
                "p_project": self._project,
                "p_job_id": job_id,
                "p_payload": payload,
                "p_run_at": instant(run_at),
                "p_max_attempts": max_attempts,
                "p_dedupe_key": dedupe_key,
                "p_id": str(request_id or uuid4()),
            },
        )

    async def cancel(self, request_id: UUID) -> dict[str, Json]:
        """`cron_cancel_request`: `{"id","status","server_time"}`."""
        args = {"p_project": self._project, "p_id": str(request_id)}
        return await self._database.rpc("cron_cancel_request", args)

    async def get_request(self, request_id: UUID) -> dict[str, Json] | None:
        """The row of `cron_run_requests`, or None where there is none that this person may see."""
        rows = await self._database.ask(
            lambda rest: (
                rest.from_("cron_run_requests")
                .select("*")
                .eq("project_id", self._project)
                .eq("id", str(request_id))
                .limit(1)
                .execute()
            ),
            "cron_run_requests",
            repeatable=True,
        )
        return rows[0] if rows else None

    async def insert_request(self, job_id: str, *, requested_by: str | None = None) -> dict[str, Json]:
        """Insert a row as a page would (`POST /rest/v1/cron_run_requests`, `return=representation`); the new row.

        Sent once only: a repetition could ask for a second run.
        """
        row = {"project_id": self._project, "job_id": job_id, "requested_by": requested_by, "status": "queued"}
        rows = await self._database.ask(
            lambda rest: rest.from_("cron_run_requests").insert(row).execute(), "cron_run_requests", repeatable=False
        )
        inserted: dict[str, Json] = rows[0]
        return inserted

    async def jobs(self) -> Sequence[dict[str, Json]]:
        """Every job of the project (`get_cron_jobs`, page by page), in the order of job ids."""
        found: list[dict[str, Json]] = []
        after: str | None = None
        while True:
            page = await self._database.rpc("get_cron_jobs", {"p_project": self._project, "p_after": after})
            found += page.get("jobs") or ()
            after = page.get("next")
            if after is None:
                return found

    async def job_runs(self, limit: int = 50) -> Sequence[dict[str, Json]]:
        """`get_cron_job_runs`: the latest runs of the project, newest first."""
        args: dict[str, Any] = {"p_project": self._project, "limit_count": limit}
        rows: list[dict[str, Json]] = await self._database.ask(
            lambda rest: rest.rpc("get_cron_job_runs", args).execute(), "get_cron_job_runs", repeatable=True
        )
        return rows
