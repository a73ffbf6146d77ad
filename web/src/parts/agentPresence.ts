// Every agent of the project as people see it: here or away, and what holds it.

import { useMemo } from 'react'
import { useAgents, useBeats } from '../lib/live'
import { type Presence, presences } from '../lib/presence'
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
