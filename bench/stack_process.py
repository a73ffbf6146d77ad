"""The embedded stack in a process of its own, so that its processor time is told apart from ours.

`python -m bench.stack_process FOLDER`: one JSON line with addresses and keys; then, for each line
`{"email", "password"}` on standard input, one with the new user's id. Standard input's end stops it.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from agent.adapters.files import bundled
from agent.adapters.postgres import migrate
from agent.app.logs import configure
from agent.localstack.postgres import Cluster
from agent.localstack.stack import LocalStack


async def serve(folder: Path) -> None:
    """Start, create users as they are asked for, stop."""
    stack = LocalStack(folder)
    await stack.start()
    try:
        await migrate(stack.dsn, bundled("migrations"), progress=lambda _: None)
        assert isinstance(stack.database, Cluster)
        addresses = {"url": stack.url, "dsn": stack.dsn, "key": stack.keys.publishable_key}
        say({**addresses, "postgres": stack.database.pid})
        lines = await _standard_input()
        while line := await lines.readline():
            user = json.loads(line)
            say({"id": str(await stack.create_user(user["email"], user["password"]))})
    finally:
        await stack.stop()


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    loop.add_signal_handler(signal.SIGTERM, reader.feed_eof)
    return reader


def say(answer: dict[str, Any]) -> None:
    """One line of JSON for whoever started us."""
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    configure(level="warning", style="console")
    asyncio.run(serve(Path(sys.argv[1])))
