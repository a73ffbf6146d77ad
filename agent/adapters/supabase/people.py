"""What people do in a project: ask for a run, cancel it, look at it. Used by the command line.

Rows come back as the JSON objects that docs/rpc.md describes; errors are those of `rpc.Database`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from agent.adapters.supabase.rpc import Database
from agent.adapters.supabase.wire import instant
from agent.model import Json

PIECES = 500
"""Of live output a call; PostgREST cuts at 1,000 rows without a word."""


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

    async def set_paused(self, *, mode: str, agent_id: str | None = None, until: datetime | None = None) -> None:
        """`cron_set_paused`: of the project, or of one agent; `mode`: `all`, `schedule`, or `none` to resume."""
        args = {"p_project": self._project, "p_agent": agent_id, "p_until": instant(until), "p_mode": mode}
        await self._database.rpc("cron_set_paused", args)

    async def get_request(self, request_id: UUID) -> dict[str, Json] | None:
        """The row of `cron_run_requests`, or None where there is none that this person may see."""
        rows = await self._rows("cron_run_requests", lambda query: query.eq("id", str(request_id)).limit(1))
        return rows[0] if rows else None

    async def runs_between(self, first: UUID, last: UUID, *, of_requests: bool = False) -> Sequence[dict[str, Json]]:
        """Rows of `cron_runs` whose id (or request's id) is in this range: the newest ones, up to 20."""
        column = "request_id" if of_requests else "id"
        return await self._rows(
            "cron_runs",
            lambda query: query.gte(column, str(first)).lte(column, str(last)).order("created_at", desc=True).limit(20),
        )

    async def runs_of_request(self, request_id: UUID) -> Sequence[dict[str, Json]]:
        """Its attempts, the first one first."""
        return await self._rows("cron_runs", lambda query: query.eq("request_id", str(request_id)).order("created_at"))

    async def newest_run(self, job_id: str) -> dict[str, Json] | None:
        """The run of this job that began last, or None."""
        rows = await self._rows(
            "cron_runs",
            lambda query: (
                query.eq("job_id", job_id).not_.is_("started_at", "null").order("started_at", desc=True).limit(1)
            ),
        )
        return rows[0] if rows else None

    async def log_pieces(self, run_id: UUID, *, after: int) -> Sequence[dict[str, Json]]:
        """Live output beyond piece `after` (-1: all): `{"seq","at","stream","text"}` in order."""
        found: list[dict[str, Json]] = []
        while True:
            last = found[-1]["seq"] if found else after
            page = await self._pieces_after(run_id, last)
            found += page
            if len(page) < PIECES:
                return found

    async def _pieces_after(self, run_id: UUID, seq: int) -> list[dict[str, Json]]:
        rows: list[dict[str, Json]] = await self._database.ask(
            lambda rest: (
                rest.from_("cron_run_logs")
                .select("seq,at,stream,text")
                .eq("run_id", str(run_id))
                .gt("seq", seq)
                .order("seq")
                .limit(PIECES)
                .execute()
            ),
            "cron_run_logs",
            repeatable=True,
        )
        return rows

    async def _rows(self, table: str, narrow: Callable[[Any], Any]) -> list[dict[str, Json]]:
        """Rows of this project."""
        rows: list[dict[str, Json]] = await self._database.ask(
            lambda rest: narrow(rest.from_(table).select("*").eq("project_id", self._project)).execute(),
            table,
            repeatable=True,
        )
        return rows

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
