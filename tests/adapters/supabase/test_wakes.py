from __future__ import annotations

from uuid import uuid4

from agent.adapters.supabase.wakes import ROOM, Wakes
from agent.model import WakeKind, WakeUp


async def test_duplicates_are_collapsed_and_order_is_kept():
    wakes, one, two = Wakes(), WakeUp(kind=WakeKind.QUEUED, request_id=uuid4()), WakeUp(kind=WakeKind.RESUBSCRIBED)
    for wake in (one, two, one):
        wakes.put(wake)
    assert [await wakes.next(), await wakes.next()] == [one, two]
    assert wakes._waiting == {}


async def test_a_flood_keeps_its_meaning_and_loses_its_details():
    wakes = Wakes()
    for _ in range(ROOM):
        wakes.put(WakeUp(kind=WakeKind.QUEUED, request_id=uuid4()))
    wakes.put(WakeUp(kind=WakeKind.CANCEL, request_id=uuid4()))
    assert await wakes.next() == WakeUp(kind=WakeKind.QUEUED)
    assert await wakes.next() == WakeUp(kind=WakeKind.CANCEL)
    assert wakes._waiting == {}
