"""A signed-in operator as a browser is one: the publishable key, a password, and HTTP. Nothing of the agent's code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import httpx

from agent.errors import Refused, Unreachable

TIMEOUT_S = 10.0


class Operator:
    """Calls `/auth/v1` and `/rest/v1` under one person's rights."""

    def __init__(self, url: str, key: str, project: str) -> None:
        self.project = project
        self._http = httpx.AsyncClient(base_url=url, headers={"apikey": key}, timeout=TIMEOUT_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def sign_in(self, email: str, password: str) -> None:
        """Get an access token; later calls carry it."""
        session = await self._call(
            "POST", "/auth/v1/token", params={"grant_type": "password"}, json={"email": email, "password": password}
        )
        self._http.headers["Authorization"] = f"Bearer {session['access_token']}"

    async def press_run(self, job_id: str) -> dict[str, Any]:
        """What the Run button does: insert a row, get it back."""
        row = {"project_id": self.project, "job_id": job_id, "requested_by": "ui", "status": "queued"}
        rows = await self._call(
            "POST", "/rest/v1/cron_run_requests", json=row, headers={"Prefer": "return=representation"}
        )
        return dict(rows[0])

    async def select(self, table: str, **filters: str) -> list[dict[str, Any]]:
        """Rows of this project, e.g. `select("cron_runs", order="started_at.desc", limit="20")`."""
        params = {"select": "*", "project_id": f"eq.{self.project}", **filters}
        return list(await self._call("GET", f"/rest/v1/{table}", params=params))

    async def request(self, request_id: str) -> dict[str, Any]:
        """One request's row."""
        return (await self.select("cron_run_requests", id=f"eq.{request_id}"))[0]

    async def rpc(self, name: str, **arguments: Any) -> Any:
        """A function of docs/rpc.md for this project, e.g. `rpc("cron_cancel_request", p_id=…)`."""
        return await self._call("POST", f"/rest/v1/rpc/{name}", json={"p_project": self.project, **arguments})

    async def _call(self, method: str, path: str, **how: Any) -> Any:
        try:
            answer = await self._http.request(method, path, **how)
        except httpx.HTTPError as err:
            raise Unreachable(f"{path}: {type(err).__name__}: {err}") from err
        if answer.is_error:
            body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
            said = body.get("message") or body.get("msg") or answer.text[:200]
            raise Refused(f"{path}: {said}", code=str(body.get("code", "")), status=answer.status_code)
        return answer.json()


def facts(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `result` of a finished request, or an empty mapping."""
    result = row.get("result")
    return result if isinstance(result, Mapping) else {}
