import { Alert } from '@mantine/core'
import { useAgents, useBeats, useJobs, useOpenRequests } from '../../lib/live'
import { isOverdue, useSweep } from '../../lib/overdue'
import { isThere, type Presence, presences } from '../../lib/presence'
import { Data } from '../Data'
import { Time } from '../Time'

/** Requests that wait for an agent that is not there, by agent; and a sweep where one is overdue. */
export function Waiting() {
  const open = useOpenRequests().data ?? []
  const jobs = useJobs().data ?? []
  const agents = useAgents().data
  const beats = useBeats().data
  useSweep(open.some((each) => isOverdue(each)))
  // Before their signs of life are read, all of them would look absent.
  if (!agents || !beats) return null
  const who = presences(agents, beats)
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
