// Why a job's schedule does not go on now: its project is paused, its connection needs somebody, or every
// agent that serves it is paused or away.

import { useMemo } from 'react'
import { useConnections, useProject } from '../lib/live'
import type { Presence } from '../lib/presence'
import type { CronMirrorJob } from '../lib/rows'
import { usePresences } from './agentPresence'
import { isPaused } from './ProjectNotices'

export interface Standstill {
  /** Nothing is expected. */
  held: boolean
  /** In words, for beside the job's name. */
  why: string
}

/** Tells for a job; undefined where its schedule goes on. */
export function useStandstill(): (job: CronMirrorJob) => Standstill | undefined {
  const agents = usePresences()
  const paused = isPaused(useProject())
  const connections = useConnections().data
  return useMemo(
    () => (job) => {
      if (paused) return { held: true, why: 'paused' }
      if (connections?.some((each) => each.connectionId === job.connectionId && each.needsReauth)) {
        return { held: true, why: 'needs re-authentication' }
      }
      return agents.size === 0 ? undefined : standstillOf(job.agentIds.map((id) => agents.get(id)))
    },
    [agents, connections, paused],
  )
}

/** By the agents that serve a job. One that is away may run its own jobs nevertheless: for that it needs no Supabase. */
export function standstillOf(agents: (Presence | undefined)[]): Standstill | undefined {
  const every = (judge: (agent: Presence) => boolean) => agents.every((agent) => agent && judge(agent))
  if (agents.length === 0) return { held: true, why: 'no agent serves it' }
  if (every(({ paused }) => paused !== undefined)) return { held: true, why: 'paused' }
  if (every(({ status }) => status === 'stopped')) return { held: true, why: 'agent stopped' }
  if (every(({ status }) => status === 'offline' || status === 'stopped')) return { held: false, why: 'agent offline' }
  return undefined
}
