"""`cronmirror local members`."""

from __future__ import annotations

import asyncio
from typing import Any

from rich.markup import escape
from rich.table import Table

from agent.cli.extras import embedded_stack
from agent.cli.local.folder import DirOption, home_in
from agent.cli.options import JsonOption
from agent.cli.output import ago, plain, print_json, stdout
from agent.localstack.home import Home


def members(folder: DirOption = None, as_json: JsonOption = False) -> None:
    """List who is in the stack's projects."""
    found = asyncio.run(_all(home_in(folder)))
    if as_json:
        print_json(found)
        return
    table = Table("project", "who", "role", "agent", "last sign-in", box=None)
    for each in found:
        words = (each["project"], each["email"], each["role"], each["agent_id"] or "")
        table.add_row(*(escape(plain(word)) for word in words), ago(each["last_sign_in_at"]))
    stdout.print(table)


async def _all(home: Home) -> list[dict[str, Any]]:
    with embedded_stack():
        from agent.localstack.members import Members  # noqa: PLC0415
    async with home.database("its members are listed") as dsn:
        return await Members(dsn).all()
