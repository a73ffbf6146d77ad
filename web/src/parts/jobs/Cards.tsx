import { Skeleton } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { getFailingJobIds } from '../../lib/api'
import { useAgents, useBeats, useInterval, useJobs, useOpenRequests, useProjectId, useRunningRuns } from '../../lib/live'
import { isThere, presences } from '../../lib/presence'
import { Time } from '../Time'

const DAY_MS = 86_400_000

/** The project in six numbers. */
export function Cards() {
  const jobs = useJobs().data
  const open = useOpenRequests().data
  const running = useRunningRuns().data
  const agents = useAgents().data
  const beats = useBeats().data
  const failing = useFailing()
  const queued = open?.filter((request) => request.status === 'queued')
  const runs = running && open && running.length + open.filter((each) => each.status === 'running' && !of(running, each.id)).length
  const there = agents && beats && presences(agents, beats).filter(isThere).length
  return (
    <section className="cards" aria-label="At a glance">
      <Card name="Jobs" value={jobs?.length} />
      <Card name="Enabled" value={jobs?.filter((job) => job.enabled).length} />
      <Card name="Failing in 24 h" value={failing} tone={failing ? 'red' : undefined} />
      <Card name="Running now" value={runs} tone={runs ? 'blue' : undefined} />
      <Card name="Queued" value={queued?.length} tone={queued?.length ? 'yellow' : undefined}>
        {queued?.[0] && (
          <>
            oldest <Time at={queued[0].requestedAt} />
          </>
        )}
      </Card>
      <Card
        name="Agents online"
        value={there === undefined ? undefined : `${there} of ${agents?.length}`}
        tone={agents?.length && there !== agents.length ? 'red' : undefined}
      />
    </section>
  )
}

function of(running: { requestId?: string }[], requestId: string): boolean {
  return running.some((run) => run.requestId === requestId)
}

function useFailing(): number | undefined {
  const projectId = useProjectId()
  const { data } = useQuery({
    queryKey: ['runs', projectId, 'failing'],
    queryFn: () => getFailingJobIds(new Date(Date.now() - DAY_MS).toISOString()),
    refetchInterval: useInterval(),
  })
  return data?.length
}

function Card({ name, value, tone, children }: { name: string; value: ReactNode; tone?: string; children?: ReactNode }) {
  return (
    <div className="card" data-tone={tone}>
      <span className="card-name">{name}</span>
      {value === undefined ? <Skeleton height={28} width={48} /> : <span className="card-value">{value}</span>}
      <span className="card-more">{children}</span>
    </div>
  )
}
