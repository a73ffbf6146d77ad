import type { CronRun } from '../lib/api'
import { useAttempts, withRun } from '../lib/attempts'
import { isUuid, useRouteId } from '../lib/hash'
import { useRun, useRunRequest } from '../lib/live'
import { Nothing, QueryState } from '../parts/QueryState'
import { RunHead } from '../parts/RunHead'
import { RunView } from '../parts/RunView'
import { RunBadge } from '../parts/StatusBadge'

/** `#/runs/:id`: one run, or a slot at which there was none. */
export default function Run() {
  const id = useRouteId()
  return isUuid(id) ? <Known id={id} /> : <Unknown />
}

function Known({ id }: { id: string }) {
  const query = useRun(id)
  return <QueryState query={query}>{query.data ? <Shown run={query.data} /> : <Unknown />}</QueryState>
}

function Unknown() {
  return (
    <Nothing title="There is no such run">
      It may be older than what is kept (14 days, and 200 runs of each job), or belong to a project that you are no member of.
    </Nothing>
  )
}

function Shown({ run }: { run: CronRun }) {
  return run.requestId ? <OfRequest run={run} requestId={run.requestId} /> : <Alone run={run} />
}

function Alone({ run }: { run: CronRun }) {
  return (
    <>
      <RunHead
        what="Run"
        id={run.id}
        jobId={run.jobId}
        projectId={run.projectId}
        status={run.status}
        badge={<RunBadge run={run} />}
        open={run.status === 'running'}
      />
      <RunView run={run} attempts={[run]} />
    </>
  )
}

function OfRequest({ run, requestId }: { run: CronRun; requestId: string }) {
  const request = useRunRequest(requestId).data
  const attempts = withRun(useAttempts(requestId).data ?? [], run)
  const open = request ? request.status === 'queued' || request.status === 'running' : run.status === 'running'
  return (
    <>
      <RunHead
        what="Run"
        id={run.id}
        jobId={run.jobId}
        projectId={run.projectId}
        status={run.status}
        badge={<RunBadge run={run} />}
        request={request}
        open={open}
      />
      <RunView run={run} request={request} attempts={attempts} />
    </>
  )
}
