"""The box's memory of notices: `agent.ports.NoticeStore` over the journal's file and its one writer."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from agent.adapters.sqlite.rows import clean, local_run, micros
from agent.adapters.sqlite.statements import SQL
from agent.adapters.sqlite.writer import Writer
from agent.model import (
    Delivery,
    DeliveryState,
    EndedRun,
    FiledNotice,
    Json,
    LocalRun,
    Notice,
    NoticeType,
    NoticeVerdict,
    Report,
    RunStatus,
    Severity,
    Shared,
    Trigger,
)


class NoticeMemory:
    """Every method raises `StateError` when the file cannot be used."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._news = asyncio.Event()

    def tell(self, has_ended: bool) -> None:  # noqa: FBT001 - what the writer saw after a commit
        """Wake who waits for ends."""
        if has_ended:
            self._news.set()
        else:
            self._news.clear()

    async def ended(self, limit: int) -> Sequence[EndedRun]:
        """The oldest ends that nobody has judged."""
        return await self._writer.do(lambda db: ended(db, limit))

    async def standings(self) -> Mapping[str, Json]:
        """By subject."""
        rows = await self._writer.do(lambda db: db.execute(SQL["standings"]).fetchall())
        return {row["subject"]: json.loads(row["state"]) for row in rows}

    async def judge(
        self,
        *,
        up_to: int | None = None,
        standings: Mapping[str, Json] | None = None,
        notices: Sequence[Notice] = (),
        verdict: NoticeVerdict | None = None,
    ) -> None:
        """One transaction. A standing of None is forgotten."""

        def work(db: sqlite3.Connection) -> None:
            if up_to is not None:
                db.execute(SQL["forget_ended"], {"seq": up_to})
            for subject, state in (standings or {}).items():
                if state is None:
                    db.execute(SQL["drop_standing"], {"subject": subject})
                else:
                    db.execute(SQL["put_standing"], {"subject": subject, "state": json.dumps(clean(state))})
            for notice in notices:
                filed = FiledNotice(seq=0, notice=notice, verdict=verdict)
                key = {"dedupe_key": notice.dedupe_key, "at": micros(notice.at), "filed": to_text(filed)}
                db.execute(SQL["file_notice"], key)

        await self._writer.do(work)

    async def filed(self) -> Sequence[FiledNotice]:
        """Those that are not done, oldest first."""
        rows = await self._writer.do(lambda db: db.execute(SQL["filed_notices"]).fetchall())
        return tuple(from_text(row["seq"], row["filed"]) for row in rows)

    async def keep(self, filed: FiledNotice, *, done: bool = False) -> None:
        """How far it got."""
        row = {"seq": filed.seq, "filed": to_text(filed), "done": done}
        await self._writer.do(lambda db: db.execute(SQL["keep_notice"], row))

    async def wait_ended(self) -> None:
        """Return as soon as an end waits to be judged."""
        await self._news.wait()


def note_end(db: sqlite3.Connection, report: Report, *, final: bool) -> None:
    """In the transaction of the report: the notices judge it later, whatever happens in between."""
    if report.status is RunStatus.RUNNING or report.trigger is Trigger.EXEC:
        return
    row = {"run_id": str(report.run_id), "job_id": report.job_id, "status": report.status.value, "final": final}
    db.execute(SQL["note_end"], row)


def has_ended(db: sqlite3.Connection) -> bool:
    """Whether there is an end to judge."""
    return bool(db.execute(SQL["has_ended"]).fetchone()[0])


def ended(db: sqlite3.Connection, limit: int) -> Sequence[EndedRun]:
    """An end whose run has been forgotten meanwhile is skipped, and forgotten with the others that are judged."""
    rows = db.execute(SQL["ended"], {"limit": limit}).fetchall()
    known: list[EndedRun] = []
    for row in rows:
        if row["run_id"] is None or row["status"] == RunStatus.RUNNING:
            continue
        run: LocalRun = local_run(row)
        known.append(EndedRun(seq=row["seq"], run=run, final=bool(row["final"])))
    if rows and not known:  # nothing would ever be judged
        db.execute(SQL["forget_ended"], {"seq": rows[-1]["seq"]})
    return tuple(known)


def to_text(filed: FiledNotice) -> str:
    """As JSON, without its seq."""
    values = asdict(filed)
    del values["seq"]
    return json.dumps(values, default=str)


def from_text(seq: int, text: str) -> FiledNotice:
    """The inverse of `to_text`."""
    values = json.loads(text)
    notice = values.pop("notice")
    shared = notice.get("shared")
    return FiledNotice(
        seq=seq,
        notice=Notice(
            **{
                **notice,
                "id": UUID(notice["id"]),
                "type": NoticeType(notice["type"]),
                "severity": Severity(notice["severity"]),
                "at": datetime.fromisoformat(notice["at"]),
                "shared": _shared(shared) if shared else None,
            }
        ),
        verdict=NoticeVerdict(values["verdict"]) if values["verdict"] else None,
        routed=values["routed"],
        shown=values["shown"],
        deliveries={name: _delivery(each) for name, each in values["deliveries"].items()},
    )


def _shared(values: Mapping[str, Any]) -> Shared:
    slots = tuple(datetime.fromisoformat(slot) for slot in values["slots"])
    ended_at = datetime.fromisoformat(values["ended_at"]) if values["ended_at"] else None
    return Shared(**{**values, "slots": slots, "ended_at": ended_at})


def _delivery(values: Mapping[str, Any]) -> Delivery:
    due_at, at = values["due_at"], values["at"]
    return Delivery(
        state=DeliveryState(values["state"]),
        attempts=values["attempts"],
        due_at=datetime.fromisoformat(due_at) if due_at else None,
        at=datetime.fromisoformat(at) if at else None,
        error=values["error"],
    )
