// Every agent of the project as people see it: here or away, and what holds it.

import { useMemo } from 'react'
import { useAgents, useBeats } from '../lib/live'
import { useSweep } from '../lib/overdue'
import { isUnreported, type Presence, presences } from '../lib/presence'
import { useNow } from './Time'

/** Silence makes no event: how often to look whether somebody has fallen silent. */
const LOOK_MS = 5000

/** By agent id; empty until agents and beats are known. */
export function usePresences(): ReadonlyMap<string, Presence> {
  const agents = useAgents().data
  const beats = useBeats().data
  const now = Math.floor(useNow() / LOOK_MS) * LOOK_MS
  return useMemo(
    () => new Map(agents && beats ? presences(agents, beats, now).map((each) => [each.agent.agentId, each]) : []),
    [agents, beats, now],
  )
}

/** Where an agent has fallen silent for good, this page is what notices: the database tells people once it has been asked. */
export function useAgentWatch(): void {
  const agents = useAgents().data
  const beats = useBeats().data
  const now = Math.floor(useNow() / LOOK_MS) * LOOK_MS
  const beatOf = (agentId: string) => beats?.find((beat) => beat.agentId === agentId)
  useSweep(agents?.some((agent) => isUnreported(agent, beatOf(agent.agentId), now)) ?? false)
}
