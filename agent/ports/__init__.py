"""What the stages call: Protocols owned by their consumers, holding only what is called.

`app/` joins them to adapters and to each other. Every `async` method may be cancelled; none swallows cancellation.
Errors: those of `agent.errors` only, as each docstring names them.
"""

from agent.ports.clock import Clock, Jumps
from agent.ports.connections import (
    ChangeListener,
    ConnectionCalls,
    ConnectionHolds,
    Connections,
    ConnectionStore,
    OAuth,
    Reconnection,
    RunTokens,
    Standings,
)
from agent.ports.http import HttpCalls, HttpEnd
from agent.ports.jobs import Jobs
from agent.ports.memory import BoxPause, Claim, Notes, OutboxStore, RunJournal, SlotJournal
from agent.ports.notices import Courier, NoticeCalls, NoticeStore, Pinger
from agent.ports.processes import (
    CancelFlag,
    CleanStream,
    LiveSink,
    OutputSink,
    Payloads,
    ProcessEnd,
    Processes,
    ProcessSpec,
    Redact,
    StreamRedaction,
)
from agent.ports.stages import Gate, PauseState, Runner, Turns
from agent.ports.supabase import (
    BeatCall,
    ClaimCall,
    HelloCall,
    LogCall,
    MirrorCall,
    ReportCall,
    SlotCall,
    WakeUps,
)

__all__ = [
    "BeatCall",
    "BoxPause",
    "CancelFlag",
    "ChangeListener",
    "Claim",
    "ClaimCall",
    "CleanStream",
    "Clock",
    "ConnectionCalls",
    "ConnectionHolds",
    "ConnectionStore",
    "Connections",
    "Courier",
    "Gate",
    "HelloCall",
    "HttpCalls",
    "HttpEnd",
    "Jobs",
    "Jumps",
    "LiveSink",
    "LogCall",
    "MirrorCall",
    "Notes",
    "NoticeCalls",
    "NoticeStore",
    "OAuth",
    "OutboxStore",
    "OutputSink",
    "PauseState",
    "Payloads",
    "Pinger",
    "ProcessEnd",
    "ProcessSpec",
    "Processes",
    "Reconnection",
    "Redact",
    "ReportCall",
    "RunJournal",
    "RunTokens",
    "Runner",
    "SlotCall",
    "SlotJournal",
    "Standings",
    "StreamRedaction",
    "Turns",
    "WakeUps",
]
