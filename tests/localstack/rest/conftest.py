"""Films, directors and actors as PostgREST's documentation has them, beside the tables of the whole room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.localstack.conftest import Api
from tests.support.stack import StackThread

HERE = Path(__file__).parent
ROWS = """
truncate directors, films, actors, roles, technical_specs, addresses, orders, employees, "strange table" cascade;
truncate stock restart identity;
insert into directors values
  (1, 'Agnès', 'Varda', false), (2, 'Akira', 'Kurosawa', false), (3, 'Alan', 'Smithee', true);
insert into films (id, title, year, rating, director_id, tags, info, raw, shown) values
  (1, 'Cléo', 1962, 7.8, 1, '{paris,drama}', '{"a": {"b": [10, 20]}, "n": 1, "s": "x"}', '{"k": "v"}', '[1,5)'),
  (2, 'Ran', 1985, 8.2, 2, '{war}', '{"a": null, "n": 2}', null, '[5,9)'),
  (3, 'Ikiru', 1952, 8.3, 2, null, null, null, null),
  (4, 'Nobody''s', null, null, null, '{}', '{"n": 10}', null, '[20,30)'),
  (5, 'Lost, "quoted"', 1990, 2.0, 3, '{x}', '{"n": 3}', null, null);
insert into actors values (1, 'Corinne', 'Marchand'), (2, 'Tatsuya', 'Nakadai'), (3, 'Takashi', 'Shimura');
insert into roles values (1, 1, 'Cléo'), (2, 2, 'Hidetora'), (3, 3, 'Watanabe');
insert into technical_specs values (1, 90, 'Cameflex'), (2, 162, 'Panaflex');
insert into addresses values (1, 'here'), (2, 'there');
insert into orders values (1, 'first', 1, 2), (2, 'second', 2, null);
insert into employees values (1, 'boss', null), (2, 'worker', 1), (3, 'other', 1);
insert into "strange table" values (1, 'percent', 'quote', 'comma', 'dot', 'umlaut');
insert into stock (sku, count) values ('a', 1), ('b', 20), ('c', 30);
"""


@pytest.fixture(scope="session")
def filmed(bare: StackThread) -> StackThread:
    bare.sql((HERE / "films.sql").read_text())
    return bare


@pytest.fixture
def table(table: StackThread, filmed: StackThread) -> StackThread:
    """The room's `table`, with these rows besides: `api`, `anon` and `service` stand on it."""
    filmed.sql(ROWS)
    return filmed


@pytest.fixture
def films(service: Api) -> Films:
    """Reads as the service role."""
    return Films(service)


class Films:
    """Short ways to ask, for tests that are one line."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def rows(self, query: str, table: str = "films") -> Any:
        answer = await self.api.get(f"/rest/v1/{table}?{query}")
        assert answer.status_code in {200, 206}, answer.text
        return answer.json()

    async def ids(self, query: str) -> list[int]:
        """Of the films that a query finds, in order."""
        return [row["id"] for row in await self.rows(f"select=id&order=id&{query}")]

    async def refused(self, query: str, table: str = "films") -> dict[str, Any]:
        """The error body, with its status."""
        answer = await self.api.get(f"/rest/v1/{table}?{query}")
        return {"status": answer.status_code} | answer.json()
