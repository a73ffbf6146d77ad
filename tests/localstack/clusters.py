"""What the tests of the launcher share."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from pathlib import Path

import psycopg

from agent.localstack.footing import Kind, identities
from agent.localstack.postgres import Cluster


def take_port(taken: socket.socket) -> int:
    """Listen outside of the range that the system hands out, so that a port that is given back stays free."""
    while True:
        port = random.randint(20_000, 30_000)  # noqa: S311 # no secret
        try:
            taken.bind(("127.0.0.1", port))
        except OSError:
            continue
        taken.listen()
        return port


KINDS: list[Kind] = [each.kind for each in identities()]
"""As root: namespace and dropped. Otherwise: self."""
Make = Callable[..., Cluster]


async def ask(cluster: Cluster, query: str = "select 1") -> object:
    async with await psycopg.AsyncConnection.connect(cluster.dsn()) as connection:
        row = await (await connection.execute(query.encode())).fetchone()
        return row[0] if row else None


async def run(cluster: Cluster, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(cluster.dsn()) as connection:
        await connection.execute(statement.encode())


def socket_dir(cluster: Cluster) -> Path:
    assert cluster._socket_dir
    return cluster._socket_dir
