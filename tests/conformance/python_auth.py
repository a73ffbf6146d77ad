"""`auth` and `admin` through supabase-py, with the arguments that supabase-js takes."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel
from supabase_auth.errors import AuthError

from tests.conformance.python_wire import Wired


async def auth(client: Wired, method: str, given: list[Any]) -> dict[str, Any]:
    """`supabase.auth.method(…)`; `{data, error, status, headers}`."""
    arguments = given
    if method == "refreshSession" and given:
        arguments = [given[0]["refresh_token"]]
    if method == "setSession":
        arguments = [given[0]["access_token"], given[0]["refresh_token"]]
    return await _ask(client, client.supabase.auth, method, arguments)


async def admin(client: Wired, method: str, given: list[Any]) -> dict[str, Any]:
    """`supabase.auth.admin.method(…)`."""
    arguments = [given[0].get("page"), given[0].get("perPage")] if method == "listUsers" and given else given
    answer = await _ask(client, client.supabase.auth.admin, method, arguments)
    if method == "listUsers" and answer["error"] is None:
        answer["data"] = {"users": answer["data"]}
    return answer


async def _ask(client: Wired, on: Any, method: str, arguments: list[Any]) -> dict[str, Any]:
    client.forget()
    try:
        answer = await getattr(on, re.sub("([A-Z])", r"_\1", method).lower())(*arguments)
    except AuthError as err:
        error = {"code": err.code, "message": err.message, "name": err.name}
        return {"error": error, **client.told()}
    data = _plain(answer)
    if method == "getSession":
        data = {"session": data}
    return {"data": data, "error": None, **client.told()}


def _plain(answer: Any) -> Any:
    if isinstance(answer, BaseModel):
        return answer.model_dump(mode="json")
    if isinstance(answer, dict):
        return {key: _plain(value) for key, value in answer.items() if not isinstance(value, bytes)}
    if isinstance(answer, list):
        return [_plain(each) for each in answer]
    return answer
