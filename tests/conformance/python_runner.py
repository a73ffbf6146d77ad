"""The list through supabase-py. Results only: what has to come of a step is not known here (verdict.py)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from tests.conformance.python_auth import admin, auth
from tests.conformance.python_live import Ear, live
from tests.conformance.python_rest import call
from tests.conformance.python_wire import Wired
from tests.conformance.words import at, filled

SCENARIO_S = 60
PEOPLE = ("ann", "bob")


async def run(target: dict[str, Any], scenarios: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name → `{steps: [result…], saved, broken}`."""
    async with _everybody(target) as shared:
        return {each["name"]: await _play(target, shared, each) for each in scenarios}


@asynccontextmanager
async def _everybody(target: dict[str, Any]) -> AsyncIterator[dict[str, Wired]]:
    """The clients that all scenarios share, ann and bob signed in."""
    keys = {"anon": "publishable", "service": "secret", **dict.fromkeys(PEOPLE, "publishable")}
    clients = {name: await Wired.create(target, key) for name, key in keys.items()}
    try:
        for name in PEOPLE:
            person = target["people"][name]
            await clients[name].supabase.auth.sign_in_with_password(
                {"email": person["email"], "password": person["password"]}
            )
        yield clients
    finally:
        for each in clients.values():
            await each.close()


async def _play(target: dict[str, Any], shared: dict[str, Wired], scenario: dict[str, Any]) -> dict[str, Any]:
    """One scenario, in its own clients where it has some. `broken` where the client itself gave up."""
    saved: dict[str, Any] = {"u": uuid4().hex[:12], "keys": target["keys"], **target["people"]}
    results: list[dict[str, Any]] = []
    own: dict[str, Wired] = {}
    ears: dict[str, Ear] = {}
    broken = None
    try:
        async with asyncio.timeout(SCENARIO_S):
            await shared["service"].supabase.rpc("conf_reset").execute()
            for name, key in scenario["clients"].items():
                own[name] = await Wired.create(target, key)
            for raw in scenario["steps"]:
                step = filled(raw, saved)
                client = (shared | own)[step.get("as") or scenario["as"]]
                results.append(await _do(client, ears, step))
                saved |= {name: at(results[-1], path) for name, path in step.get("save", {}).items()}
    except Exception as err:  # noqa: BLE001 # whatever the client raises is what a person would have met
        broken = f"{type(err).__name__}: {err}"
    finally:
        for ear in ears.values():
            await ear.channel.unsubscribe()
        for client in own.values():
            await client.close()
    return {"steps": results, "saved": saved, "broken": broken}


async def _do(client: Wired, ears: dict[str, Ear], step: dict[str, Any]) -> dict[str, Any]:
    if step["verb"] == "call":
        return await call(client, step["call"])
    if step["verb"] in ("auth", "admin"):
        ask = auth if step["verb"] == "auth" else admin
        return await ask(client, step[step["verb"]], step["with"])
    return await live(client, ears, step)
