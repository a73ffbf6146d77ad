"""Waiting for a request as the person who asked."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from agent.adapters.supabase.people import People
from agent.app.follow import wait_for
from agent.errors import Refused
from agent.model import Json


class Rows(People):
    """What the table says, look by look."""

    def __init__(self, *rows: dict[str, Json] | None) -> None:
        self._rows = list(rows)

    async def get_request(self, request_id: UUID) -> dict[str, Json] | None:
        return self._rows.pop(0)


@pytest.mark.parametrize("status", ["done", "error"])
async def test_the_row_is_returned_once_it_has_ended(status: str) -> None:
    rows = Rows({"status": "queued"}, {"status": "running"}, {"status": status, "result": {"ok": status == "done"}})
    assert (await wait_for(rows, uuid4()))["status"] == status


async def test_a_request_that_is_gone_is_not_waited_for() -> None:
    asked = uuid4()
    with pytest.raises(Refused, match=f"request {asked} is gone, or you may not see it"):
        await wait_for(Rows({"status": "queued"}, None), asked)
