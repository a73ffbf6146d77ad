"""Fifty connections through virtual time, with faults: no run begins with a token that could have been fresher.

Here a bounded form; `make connections` lives all of 10,000 hours (`HOURS=`, `SEED=`).
"""

from __future__ import annotations

from tests.connections.simulation import Life


async def test_no_run_begins_with_an_expired_token_and_nobody_is_sent_to_sign_in_for_nothing() -> None:
    life = Life(hours=60, seed=1)

    await life.live()

    assert life.faults == []
    assert life.seen.runs > 2_500
    assert life.seen.refreshes > 1_000
    assert life.seen.failures > 10
    assert life.seen.revoked >= life.seen.reconnected > 0
