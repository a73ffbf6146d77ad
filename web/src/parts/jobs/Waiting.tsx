import { Alert } from '@mantine/core'
import { useEffect } from 'react'
import { sweepProject } from '../../lib/api'
import { useAgents, useBeats, useJobs, useOpenRequests } from '../../lib/live'
import { isThere, type Presence, presences } from '../../lib/presence'
import type { CronRunRequest } from '../../lib/rows'
import { serverNow } from '../../lib/supabase'
import { Data } from '../Data'
import { Time } from '../Time'

/** Requests that wait for an agent that is not there, by agent; and a sweep where one is overdue. */
export function Waiting() {
  const open = useOpenRequests().data ?? []
  const jobs = useJobs().data ?? []
  const who = presences(useAgents().data, useBeats().data)
  const overdue = open.some(isOverdue)
  useEffect(() => {
    if (!overdue) return
    // The database sweeps at most once per 10 s, however many pages ask.
    const sweep = () => void sweepProject().catch(() => {})
    sweep()
    const timer = setInterval(sweep, 30_000)
    return () => clearInterval(timer)
  }, [overdue])

  const queued = open.filter((request) => request.status === 'queued')
  const served = new Map(jobs.map((job) => [job.jobId, job.agentIds]))
  const absent = who.filter((each) => !isThere(each))
  return absent.map((each) => {
    const waiting = queued.filter((request) => waitsFor(served.get(request.jobId), each, who))
    if (!waiting.length) return null
    return (
      <Alert key={each.agent.id} color="yellow" mb="md" role="status">
        <b>
          <Data length={80}>{each.agent.agentId}</Data>
        </b>{' '}
        is {each.status} (last heard of <Time at={each.lastSeenAt} none="never" />) and {waiting.length}{' '}
        {waiting.length === 1 ? 'request waits' : 'requests wait'} for it. They run when it is back; those that wait longer than a day
        expire.
      </Alert>
    )
  })
}

/** Only for those that no other agent could pick up instead. */
function waitsFor(agentIds: string[] | undefined, absent: Presence, who: Presence[]): boolean {
  if (!agentIds?.includes(absent.agent.agentId)) return false
  return !who.some((each) => isThere(each) && agentIds.includes(each.agent.agentId))
}

function isOverdue(request: CronRunRequest): boolean {
  if (request.status !== 'queued') return false
  return Boolean(request.cancelRequestedAt) || (request.expiresAt !== undefined && new Date(request.expiresAt).getTime() < serverNow())
}
