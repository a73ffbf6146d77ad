// Who a request waits for, or runs on, and whether that agent is there.

import { Alert, Text } from '@mantine/core'
import { useJobs } from '../lib/live'
import { isOverdue, useSweep } from '../lib/overdue'
import { isThere, type Presence } from '../lib/presence'
import type { CronRun, CronRunRequest } from '../lib/rows'
import { usePresences } from './agentPresence'
import { Data } from './Data'
import { Time } from './Time'

/** Of a request that is queued. */
export function WaitsFor({ request }: { request: CronRunRequest }) {
  const jobs = useJobs().data
  const who = [...usePresences().values()]
  useSweep(isOverdue(request))
  const job = jobs?.find((each) => each.jobId === request.jobId)
  const serving = who.filter((each) => job?.agentIds.includes(each.agent.agentId))
  const there = serving.filter(isThere)
  return (
    <Alert color="yellow" role="status">
      <Text size="sm">
        {jobs && !job && 'No agent of this project has a job of this name; when none has within ten minutes, the request ends. '}
        {there.length > 0 && (
          <>
            It waits for <Names of={there} />
            {there.every((each) => each.paused?.mode === 'all') ? ', which is paused. ' : '. '}
          </>
        )}
        {job && there.length === 0 && <Absent serving={serving} />}
        It expires <Time at={request.expiresAt} />.
      </Text>
    </Alert>
  )
}

function Absent({ serving }: { serving: Presence[] }) {
  if (serving.length === 0) return 'It waits for an agent. '
  return serving.map((each) => (
    <span key={each.agent.id}>
      It waits for <Data length={80}>{each.agent.agentId}</Data>, which is {each.status} (last heard of{' '}
      <Time at={each.lastSeenAt} none="never" />
      ).{' '}
    </span>
  ))
}

function Names({ of }: { of: Presence[] }) {
  return of.map((each, index) => (
    <span key={each.agent.id}>
      {index > 0 && ' or '}
      <Data length={80}>{each.agent.agentId}</Data>
    </span>
  ))
}

/** Of a run that goes on: nothing while its agent is heard of. */
export function Unheard({ run, request }: { run: CronRun; request?: CronRunRequest | null }) {
  const holder = usePresences().get(run.agentId)
  useSweep(Boolean(request && isOverdue(request, holder)))
  if (run.status !== 'running' || !holder || isThere(holder)) return null
  return (
    <Alert color="yellow" role="status" title="Its agent is not heard of">
      <Text size="sm">
        <Data length={80}>{run.agentId}</Data> is {holder.status}, last heard of <Time at={holder.lastSeenAt} none="never" />. The command
        may still be running. When the agent comes back in time it says how it went, else the run is given up as lost.
      </Text>
    </Alert>
  )
}
