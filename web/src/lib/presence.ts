// Which agents are there. Offline = three missed beats, by the server's clock: a page's own may be wrong by hours.

import type { CronAgent, CronAgentBeat } from './rows'
import { serverNow } from './supabase'

const OFFLINE_MS = 45_000
/** Beats are read every 10 s. */
const READING_MS = 10_000
/** So long silent without a farewell, and people are told: the database decides, whoever asks it. */
const GONE_MS = 120_000

export interface Presence {
  agent: CronAgent
  lastSeenAt?: string
  status: 'online' | 'offline' | 'draining' | 'stopped'
  /** Paused here by an operator, or on the box itself; undefined when not paused. */
  paused?: { mode: 'all' | 'schedule'; until?: string; by: 'operator' | 'box' }
}

export function presence(agent: CronAgent, beat: CronAgentBeat | undefined, now = serverNow()): Presence {
  // While nothing can be read it is this page that hears nobody: what was so at the last reading stays.
  const heardUntil = Math.min(now, beat?.readAt ?? now)
  const silent = !beat || heardUntil - new Date(beat.lastSeenAt).getTime() > OFFLINE_MS + READING_MS
  const status = agent.state === 'stopped' ? 'stopped' : silent ? 'offline' : agent.state
  return { agent, lastSeenAt: beat?.lastSeenAt, status, paused: pauseOf(agent, now) }
}

function pauseOf(agent: CronAgent, now: number): Presence['paused'] {
  const lasts = (until: string | undefined) => !until || new Date(until).getTime() > now
  if (agent.pausedMode && lasts(agent.pausedUntil)) return { mode: agent.pausedMode, until: agent.pausedUntil, by: 'operator' }
  if (agent.boxPausedMode && lasts(agent.boxPausedUntil)) return { mode: agent.boxPausedMode, until: agent.boxPausedUntil, by: 'box' }
  return undefined
}

export function presences(agents: CronAgent[] = [], beats: CronAgentBeat[] = [], now = serverNow()): Presence[] {
  const byId = new Map(beats.map((beat) => [beat.agentId, beat]))
  return agents.map((agent) => presence(agent, byId.get(agent.agentId), now))
}

/** Does it work, so that a request would be picked up? */
export function isThere(who: Presence): boolean {
  return who.status === 'online' || who.status === 'draining'
}

/** Silent for long, and nobody has been told yet. */
export function isUnreported(agent: CronAgent, beat: CronAgentBeat | undefined, now = serverNow()): boolean {
  if (!beat || beat.offlineSince || agent.state === 'stopped') return false
  return Math.min(now, beat.readAt ?? now) - new Date(beat.lastSeenAt).getTime() > GONE_MS
}
