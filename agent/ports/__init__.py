"""What the stages call: Protocols owned by their consumers, holding only what is called.

`app/` joins them to adapters and to each other. Every `async` method may be cancelled; none swallows cancellation.
Errors: those of `agent.errors` only, as each docstring names them.
"""

from agent.ports.clock import Clock, Jumps
from agent.ports.http import HttpCalls, HttpEnd
from agent.ports.jobs import Jobs
from agent.ports.memory import BoxPause, Claim, Notes, OutboxStore, RunJournal, SlotJournal
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
    "Claim",
    "ClaimCall",
    "CleanStream",
    "Clock",
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
    "OutboxStore",
    "OutputSink",
    "PauseState",
    "Payloads",
    "ProcessEnd",
    "ProcessSpec",
    "Processes",
    "Redact",
    "ReportCall",
    "RunJournal",
    "Runner",
    "SlotCall",
    "SlotJournal",
    "StreamRedaction",
    "Turns",
    "WakeUps",
]
