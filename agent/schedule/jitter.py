"""How much later than its slot a run begins: a function of what and when alone, the same after a restart. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.model import Job, Placement


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Who spreads: two agents with a job of the same name do not begin together, agents that share one do."""

    project: str = ""
    agent_id: str = ""

    def due_at(self, job: Job, slot: datetime) -> datetime:
        """The slot and less than `jitter` more, to the millisecond. Same arguments, same instant, for ever."""
        if not job.jitter_s:
            return slot
        who = self.project if job.placement is Placement.ANY else self.agent_id
        digest = hashlib.sha256(f"{who}\0{job.id}\0{slot.timestamp():.3f}".encode()).digest()
        share = int.from_bytes(digest[:6]) / 2**48
        return slot + timedelta(milliseconds=int(share * job.jitter_s * 1000))
