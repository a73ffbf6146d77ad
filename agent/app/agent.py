"""The agent, wired: read it from top to bottom and you have read the data path.

Start: lock the state directory → open the outbox → recover → schedule at once (it never waits for the network) ∥
sign in → hello → outbox → mirror → Realtime → claim. `docs/tasks.md` lists the loops.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import structlog

from agent.adapters.clock import SystemClock
from agent.adapters.payloads import PayloadFiles
from agent.adapters.process import GroupProcesses
from agent.adapters.sdnotify import SystemdNotify
from agent.adapters.supabase.realtime import SupervisedRealtime
from agent.adapters.supabase.rest import Rest
from agent.adapters.watch import FileWatch
from agent.adapters.watchdog import Watchdog
from agent.app.connections import Keeping
from agent.app.given import Given
from agent.app.guard import Guard
from agent.app.home import home_of
from agent.app.introduction import INSTANCE_NOTE, Introduction
from agent.app.notices import Notices
from agent.app.tasks import Loops
from agent.connections.reconnects import Desk, Reconnects
from agent.errors import CronmirrorError, StateError
from agent.model import BeatReply
from agent.pace import within
from agent.queue.intake import Box, Intake, Queue
from agent.queue.lease import Leases
from agent.queue.turns import SlotTurns
from agent.report.connections import ConnectionReports
from agent.report.heartbeat import Heartbeat, Listeners, Vitals
from agent.report.link import Link
from agent.report.mirror import Mirror, Told
from agent.report.outages import Outages
from agent.report.outbox import Outbox
from agent.report.owned import OwnJobs
from agent.report.pauses import Pauses
from agent.report.recover import recover
from agent.report.streamer import LogStreamer
from agent.report.wake import WakeWatch
from agent.run.executor import Edges, Executor, Fleet
from agent.run.slots import Slots
from agent.schedule.jitter import Spread
from agent.schedule.scheduler import Scheduler, Stages
from agent.schedule.timetable import next_run_at

log = structlog.get_logger()

FLUSH_S = 10.0
"""How long the last reports may take when the agent stops; what is left is sent by the next start."""
REACH_S = 3.0
"""So long an agent that stops waits for an answered beat, if there are reports: some call may just have failed."""
FLUSH_LOGS_S = 2.0
"""The same for live output; what is left is dropped: the reports have it."""


class Agent:
    """One running agent. Build it of what `given.opened` yields, then `start`, `wait_failed`, `drain`, `stop`."""

    def __init__(self, given: Given) -> None:
        self._config, self._state, self._journal = given.config, given.state, given.journal
        self._supabase = given.supabase
        self._configuration = given.configuration
        self._jobs = given.configuration.catalogue
        self._agent_id = given.config.agent_id or given.state.agent_id(socket.gethostname())
        self._clock = SystemClock()
        self._wake = WakeWatch(self._clock, self._on_jump, self._on_thaw)
        self._dropping: asyncio.Task[None] | None = None
        given.supabase.session.on_change(lambda _: self.heartbeat.hurry())
        self._outages = Outages(
            self._journal,
            self._clock,
            told=lambda: self.heartbeat.beat_now(),  # noqa: PLW0108 - built below
            realtime=lambda: self._realtime.reason,
        )
        self._guard = Guard(
            Watchdog(),
            SystemdNotify(given.environ),
            journal=lambda: self._journal.get(INSTANCE_NOTE),
            failed=lambda: self.loops.failed.done() and not self.slots.draining,
            status=self._status,
        )
        self._probing = False
        self._link = Link()
        rest = Rest(given.supabase.database, project=given.config.project, agent_id=self._agent_id)
        self._notices = Notices(self._journal, rest, self._link, given.configuration, self._clock)
        self._notices.introduce(self._agent_id, lambda: self._jobs.config_error, given.connections.keeper.standings)
        given.connections.listeners.append(self._notices.desk.on_change)
        self._streamer = LogStreamer(rest, self._link, given.configuration.redactor, self._clock)
        self._wire_runs(given, SlotTurns(rest, self._link, self._clock))
        self._wire_reports(rest)
        self._wire_requests(rest)
        self._wire_connections(given.connections, rest)
        self._introduction = Introduction(given, self._agent_id, self.slots, self._outages)
        self.heartbeat = Heartbeat(
            rest, self._introduction.hello, self._vitals(), self._listeners(), self._link, self._pauses, self._clock
        )

    def _wire_runs(self, given: Given, turns: SlotTurns) -> None:
        """A slot of the schedule, admitted by the run's slots, executed: every step in the journal first."""
        self._processes = GroupProcesses(adopt=True)
        self._payloads = PayloadFiles(given.state.payloads)
        self._executor = Executor(
            Edges(
                clock=self._clock,
                processes=self._processes,
                calls=given.calls,
                journal=self._journal,
                payloads=self._payloads,
                tokens=given.connections.keeper,
            ),
            given.configuration.redactor,
            home_of(given.config, self._agent_id, given.environ),
            live=self._streamer.open,
            fleet=Fleet(turns=turns, retry_planned=lambda plan: self._scheduler.learn(plan)),  # noqa: PLW0108 - built later
        )
        self.slots = Slots(
            execution=self._executor,
            clock=self._clock,
            jobs=self._jobs,
            concurrency=given.config.limits.concurrency,
            tags=given.config.limits.tags,
            give_back=lambda run: self._scheduler.take_back(run),  # noqa: PLW0108 - built later
        )
        self._pauses = Pauses(self._journal, self._clock, given.state.pause, self._on_pause)
        self._own_jobs = OwnJobs(self._jobs, self._journal)
        stages = Stages(
            jumps=self._wake,
            runner=self.slots,
            pause=self._pauses,
            turns=turns,
            waits=given.connections.keeper.held,
            missed=self._outages.on_missed,
        )
        self._scheduler = Scheduler(
            clock=self._clock,
            jobs=self._own_jobs,
            journal=self._journal,
            stages=stages,
            spread=Spread(project=given.config.project, agent_id=self._agent_id),
        )
        self._sweep = given.connections.sweep(self._jobs)
        given.connections.listeners.append(lambda _: self._scheduler.kick())

    def _wire_reports(self, rest: Rest) -> None:
        """What Supabase is told, and when it may be."""
        self._outbox = Outbox(self._journal, rest, self._link, self._clock)
        self._mirror = Mirror(
            self._jobs,
            rest,
            self._link,
            self._pauses,
            self._clock,
            next_run_at,
            every_s=self._config.sync.mirror_every_s,
            told=Told(added=lambda: self._intake.look(), owners=self._own_jobs.learn),  # noqa: PLW0108 - built later
        )

    def _wire_requests(self, rest: Rest) -> None:
        """Woken by Realtime, claimed, handed to the slots."""
        self._realtime = SupervisedRealtime(
            self._supabase.target,
            self._supabase.session,
            clock=self._clock,
            project=self._config.project,
            agent_id=self._agent_id,
        )
        self._leases = Leases(self.slots, self._clock)
        self._intake = Intake(
            Queue(claims=rest, wakeups=self._realtime, gate=self._link, pause=self._pauses),
            Box(
                runner=self.slots,
                jobs=self._jobs,
                journal=self._journal,
                notes=self._journal,
                reject=self._executor.reject,
            ),
            self._clock,
            poll_every_s=self._config.sync.poll_every_s,
            beat_now=lambda: self.heartbeat.beat_now(),  # noqa: PLW0108 - the heartbeat is built after the intake
        )

    def _wire_connections(self, kept: Keeping, rest: Rest) -> None:
        """How they stand, shown to pages; and what people ask of them there."""
        self._shown = ConnectionReports(
            kept.keeper,
            rest,
            self._link,
            self._clock,
            attend=lambda requests: self._reconnects.attend(requests),  # noqa: PLW0108 - built below
        )
        desk = Desk(
            oauth=kept.providers,
            connections=kept.configured,
            reconnection=kept.keeper,
            calls=rest,
            report=self._shown.show,
        )
        self._reconnects = Reconnects(desk, self._clock)
        self._realtime.on_reconnect(self._shown.kick)

    def _vitals(self) -> Vitals:
        return Vitals(
            runner=self.slots,
            jobs=self._jobs,
            realtime_healthy=lambda: self._realtime.healthy,
            config_error=lambda: self._jobs.config_error or self._own_jobs.problem,
            draining=lambda: self.slots.draining,
            outage=lambda: self._outages.last,
            want_probe=self._want_probe,
            known=self._introduction.known_requests,
        )

    def _listeners(self) -> Listeners:
        return Listeners(
            hello=(self._intake.on_hello, self._mirror.on_hello, self._shown.on_hello),
            beat=(
                self._on_probed,
                self._leases.on_beat,
                self._intake.on_beat,
                lambda _: self._scheduler.kick(),
                lambda reply: self._outages.on_beat(reply, self.heartbeat.skew_ms),
                self._notices.on_beat,
                self._shown.on_beat,
            ),
            again=(self._supabase.session.wake, self._realtime.hurry),
            silent=(self._outages.on_silence,),
        )

    def _on_pause(self) -> None:
        """The box's own pause began or ended: schedule, claims, mirror and pages know at once."""
        self._scheduler.kick()
        self._intake.look()
        self._mirror.kick()
        self.heartbeat.beat_now()

    def _on_jump(self, ahead_s: float) -> None:
        """Asleep until now, or the clock was set: whatever rests on time or on an old connection begins anew."""
        self._outages.on_jump(ahead_s)
        self._scheduler.on_jump(ahead_s)
        self._sweep.kick()
        self._dropping = asyncio.create_task(self._supabase.drop_connections(), name="drop connections")
        self._supabase.session.wake()
        self._realtime.rebuild(f"the clock jumped by {ahead_s:.0f} s")
        self.heartbeat.wake()

    def _on_thaw(self, _late_s: float) -> None:
        """Frozen until now: leases may have run out."""
        self._supabase.session.wake()
        self.heartbeat.wake()

    def _want_probe(self) -> bool:
        self._probing = self._realtime.want_probe()
        return self._probing

    def _on_probed(self, reply: BeatReply) -> None:
        if self._probing:
            self._realtime.probe_sent(reply.server_time)

    # ── life ────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Recover what a previous life left, then start every loop: the schedule first."""
        await self._pauses.load()
        await self._own_jobs.load()
        await self._outages.load()
        for run in await self._journal.unfinished():
            self._payloads.remove(run.run_id)
        lost = await recover(self._journal, self._processes, self._jobs, self._clock, agent_id=self._agent_id)
        self.loops = Loops()
        for name, loop in (
            ("wake watch", self._wake.run()),
            ("watchdog", self._guard.watch()),
            ("service manager", self._guard.tell()),
            ("box pause", self._pauses.run()),
            ("life signs", self._outages.run()),
            ("scheduler", self._scheduler.run()),
            ("session", self._supabase.session.run()),
            ("heartbeat", self.heartbeat.run()),
            ("outbox", self._outbox.run()),
            ("log streamer", self._streamer.run()),
            ("mirror", self._mirror.run()),
            ("realtime", self._realtime.run()),
            ("intake", self._intake.run()),
            ("leases", self._leases.run()),
            ("connections", self._sweep.run()),
            ("connection reports", self._shown.run()),
            ("config", self._configuration.run(FileWatch, self.heartbeat.beat_now)),
            ("reloads", self._watch_reloads()),
            *self._notices.loops().items(),
        ):
            self.loops.start(name, loop)
        self._guard.ready()
        log.info(
            "agent started", project=self._config.project, agent=self._agent_id, jobs=len(self._jobs.all()), lost=lost
        )

    def _status(self) -> str:
        """One line for `systemctl status`."""
        link = "Supabase answers" if self._link.accepted else "Supabase does not answer"
        return f"{len(self.slots.running())} running, {len(self._jobs.all())} jobs; {link}"

    async def _watch_reloads(self) -> None:
        """A new configuration is mirrored at once."""
        revision = self._configuration.catalogue.revision
        while True:
            revision = await self._configuration.catalogue.wait_changed(revision)
            if (config := self._configuration.catalogue.config) is not None:
                self.slots.resize(config.limits.concurrency, config.limits.tags)
            self._notices.on_reload()
            self._mirror.kick()

    async def wait_failed(self) -> CronmirrorError:
        """Return why the agent can't go on: a loop ended, or another process is this agent."""
        ended = asyncio.ensure_future(self.heartbeat.ended.wait())
        try:
            await asyncio.wait((ended, self.loops.failed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        return self.heartbeat.why or self.loops.failed.result()

    async def drain(self) -> None:
        """No new claims, slots and configurations, what waits goes back; running jobs get `drain_timeout`."""
        self._guard.stopping()
        log.info("draining", running=len(self.slots.running()), timeout_s=self._config.drain_timeout_s)
        await self.loops.stop("scheduler", "intake", "config", "reloads", "box pause")
        self.heartbeat.beat_now()
        if not await self.slots.drain(self._config.drain_timeout_s):
            log.warning("drain_timeout is over; ending what still runs", running=len(self.slots.running()))
            await self.cancel()
        await self._scheduler.hand_back()

    async def cancel(self) -> None:
        """End what runs, and wait until that is recorded."""
        self.slots.cancel_all("shutdown")
        await self.slots.wait_idle()

    async def stop(self) -> None:
        """Send what can be sent, say goodbye, end every loop."""
        await self._reach()
        await self.loops.stop("heartbeat", "outbox", "log streamer", "mirror")
        await self._streamer.flush(FLUSH_LOGS_S)
        if self._link.accepted:
            await self._outbox.flush(FLUSH_S)
        await self.heartbeat.stop()
        self._guard.over()
        await self.loops.stop()
        await self._outages.note()
        await self._notices.close()
        await self._reconnects.close()
        if self._dropping is not None:
            await self._dropping
        with suppress(StateError):
            if await self._journal.newest():
                log.warning("reports that Supabase does not have yet are kept for the next start")
        log.info("agent stopped")

    async def _reach(self) -> None:
        """Whose call failed closed the link, and the heartbeat opens it again: reports that wait are worth that."""
        with suppress(StateError):
            if not self.heartbeat.ended.is_set() and await self._journal.newest():
                await within(self._clock, REACH_S, self._link.wait_accepted())
