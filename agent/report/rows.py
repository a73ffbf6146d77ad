"""A job as a row of `cron_mirror`. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime

from agent.model import Job, MirrorRow

CHUNK_ROWS = 500
CHUNK_BYTES = 256 * 1024
SOURCE = "yaml"


def row_of(job: Job, next_run_at: datetime | None) -> MirrorRow:
    """What a page may know of a job: no command line, no environment, `instructions` already redacted."""
    schedule, retry = job.schedule, job.retry
    return MirrorRow(
        job_id=job.id,
        name=job.name,
        schedule_kind=schedule.kind.value if schedule else None,
        schedule_expr=schedule.expr if schedule else None,
        tz=schedule.timezone if schedule else None,
        enabled=job.enabled,
        next_run_at=next_run_at,
        instructions=job.instructions,
        source=SOURCE,
        description=job.description,
        tags=job.tags,
        accepts=job.payload_schema,
        timeout_s=job.timeout_s,
        overlap=job.overlap.value,
        placement=job.placement.value,
        connection_id=job.connection,
        retry={
            "max_attempts": retry.max_attempts,
            "on": sorted(retry.on),
            "exit_codes": sorted(retry.exit_codes),
            "base_s": retry.base_s,
            "cap_s": retry.cap_s,
        },
    )


def chunks(rows: Sequence[MirrorRow]) -> Iterator[tuple[MirrorRow, ...]]:
    """Parts of at most 500 rows and about 256 KiB, in order; at least one, which may be empty."""
    part: list[MirrorRow] = []
    size = 0
    for row in rows:
        weight = len(json.dumps(asdict(row), default=str))
        if part and (len(part) == CHUNK_ROWS or size + weight > CHUNK_BYTES):
            yield tuple(part)
            part, size = [], 0
        part.append(row)
        size += weight
    yield tuple(part)
