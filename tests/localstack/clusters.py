"""What the tests of the launcher share."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from pathlib import Path

import psycopg

from agent.localstack.binaries import _system, locate
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
OLDER = [each for each in _system() if each.major < locate().major]
"""Installations of older major versions on this machine."""
if not OLDER and os.environ.get("CRONMIRROR_REQUIRE_PG15") == "1":
    raise RuntimeError("no older PostgreSQL is on this machine: apt-get install postgresql-15")
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


def data_of(cluster: Cluster) -> Path:
    """The data directory of one that was started."""
    assert cluster.footing
    return cluster.footing.folder / "data"
