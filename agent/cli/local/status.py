"""`cronmirror local status`."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import httpx
import typer
from rich.markup import escape

from agent.cli.extras import embedded_stack
from agent.cli.local.folder import DirOption, home_in
from agent.cli.options import JsonOption
from agent.cli.output import ago, print_json, stdout
from agent.localstack.home import Home

HEALTH_TIMEOUT_S = 5.0


def status(folder: DirOption = None, as_json: JsonOption = False) -> None:
    """Show whether the stack runs, where, since when, and how large it is. Exits 0 when it runs and answers, else 1."""
    home = home_in(folder)
    facts = asyncio.run(_facts(home))
    if as_json:
        print_json(facts)
    else:
        for name, text in _lines(facts):
            stdout.print(f"{name:<10}{escape(text)}", soft_wrap=True)
    if facts["state"] != "running":
        raise typer.Exit(1)


async def _facts(home: Home) -> dict[str, Any]:
    holder = home.holder
    facts: dict[str, Any] = {"state": "stopped" if home.exists else "none", "dir": str(home.folder)}
    if home.exists:
        facts |= {"url": home.url, "project": home.settings.project, "log": str(home.log)}
    if holder is None:
        return facts
    facts |= {"state": "busy", "doing": holder.doing, "pid": holder.pid, "since": holder.since or None}
    if holder.doing != "running" or not holder.url:
        return facts
    facts["state"] = "running" if await _answers(holder.url) else "not answering"
    with embedded_stack():
        from agent.localstack.census import census  # noqa: PLC0415
    if dsn := home.dsn():
        facts |= await census(dsn)
    return facts


async def _answers(url: str) -> bool:
    """Whether the gateway does; what it says without a key is an answer, too."""
    try:
        async with httpx.AsyncClient(timeout=HEALTH_TIMEOUT_S, verify=False) as http:  # noqa: S501 # only whether it is there
            return (await http.get(f"{url}/auth/v1/health")).status_code < 500  # noqa: PLR2004
    except httpx.HTTPError:
        return False


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [("state", str(facts["state"]))]
    if "pid" in facts:
        since = f", since {ago(datetime.fromisoformat(facts['since']))}" if facts["since"] else ""
        doing = "" if facts["doing"] == "running" else f" ({facts['doing']})"
        lines = [("state", f"{facts['state']}{doing}: process {facts['pid']}{since}")]
    for name in ("url", "project"):
        if name in facts:
            lines.append((name, str(facts[name])))
    if "postgres" in facts:
        size = f"{facts['database_bytes'] / 1_000_000:.1f} MB"
        lines.append(("database", f"PostgreSQL {facts['postgres']}, {size}, schema {facts['schema']}"))
        lines.append(("members", f"{facts['members']} in {facts['projects']} projects, {facts['users']} users"))
    lines.append(("dir", str(facts["dir"])))
    return lines
