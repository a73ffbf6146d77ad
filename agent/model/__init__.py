"""The words of the product as values: Job, Request, Run, Outcome, Report, and what the RPCs say and answer.

Frozen, keyword-only, no behaviour beyond reading themselves; every instant is an aware datetime (a naive one is
refused on construction). Durations are seconds as float unless a name says `_ms`.
"""

from agent.model.jobs import CatchUp, Command, Job, Overlap, Retry, Schedule, ScheduleKind
from agent.model.runs import (
    LocalRun,
    Outcome,
    Output,
    PlannedRun,
    Reason,
    Report,
    Request,
    Run,
    RunningRun,
    RunStatus,
    Trigger,
)
from agent.model.value import Json
from agent.model.wire import (
    AgentState,
    BeatReply,
    Claimed,
    Hello,
    HelloReply,
    MirrorReply,
    MirrorRow,
    MirrorSync,
    OutboxEntry,
    Pause,
    Verdict,
    VerdictKind,
    WakeKind,
    WakeUp,
)

__all__ = [
    "AgentState",
    "BeatReply",
    "CatchUp",
    "Claimed",
    "Command",
    "Hello",
    "HelloReply",
    "Job",
    "Json",
    "LocalRun",
    "MirrorReply",
    "MirrorRow",
    "MirrorSync",
    "OutboxEntry",
    "Outcome",
    "Output",
    "Overlap",
    "Pause",
    "PlannedRun",
    "Reason",
    "Report",
    "Request",
    "Retry",
    "Run",
    "RunStatus",
    "RunningRun",
    "Schedule",
    "ScheduleKind",
    "Trigger",
    "Verdict",
    "VerdictKind",
    "WakeKind",
    "WakeUp",
]
