import { Button, Group, Title } from '@mantine/core'
import { between, duration } from '../../lib/format'
import { to } from '../../lib/hash'
import { useJobs, useProject, useRecentRequests } from '../../lib/live'
import { type CronMirrorJob, type CronRunRequest, mayOperate } from '../../lib/rows'
import { Data } from '../Data'
import { Icon } from '../icons'
import { Link } from '../Link'
import { Nothing, QueryState } from '../QueryState'
import { useRun } from '../RunButton'
import { cancelRequest } from '../run'
import { RequestBadge } from '../StatusBadge'
import { Elapsed, Time } from '../Time'

/** The last 20 requests of the project, live. */
export function RecentRequests() {
  const requests = useRecentRequests()
  const jobs = useJobs().data
  const byId = new Map(jobs?.map((job) => [job.jobId, job]))
  const operator = mayOperate(useProject())
  return (
    <section aria-labelledby="recent">
      <Title order={2} size="h4" mb="xs" id="recent">
        Recent run requests
      </Title>
      <QueryState query={requests} lines={3}>
        {requests.data?.length === 0 ? (
          <Nothing title="Nobody has pressed Run yet">{operator ? 'Press Run on a job above; it shows here at once.' : undefined}</Nothing>
        ) : (
          <ul className="requests">
            {requests.data?.map((request) => (
              <Line key={request.id} request={request} job={byId.get(request.jobId)} operator={operator} />
            ))}
          </ul>
        )}
      </QueryState>
    </section>
  )
}

function Line({ request, job, operator }: { request: CronRunRequest; job: CronMirrorJob | undefined; operator: boolean }) {
  const open = request.status === 'queued' || request.status === 'running'
  return (
    <li data-request={request.id}>
      <RequestBadge request={request} />
      <Link to={to.request(request.id)} className="requests-name" size="sm">
        <Data length={80}>{job?.name ?? request.jobId}</Data>
      </Link>
      <span className="requests-fact">
        <Time at={request.requestedAt} />
        {request.requestedBy && (
          <>
            {' '}
            by <Data length={60}>{request.requestedBy}</Data>
          </>
        )}
      </span>
      <span className="requests-fact">
        {request.claimedBy && (
          <>
            on <Data length={60}>{request.claimedBy}</Data>
          </>
        )}
      </span>
      <span className="requests-fact">
        <Took request={request} />
        {request.attempts > 1 && `, attempt ${request.attempts}`}
      </span>
      <Group gap={4} className="requests-do">
        {operator && open && !request.cancelRequestedAt && (
          <Button
            size="compact-xs"
            variant="default"
            aria-label={`Cancel ${job?.name ?? request.jobId}`}
            onClick={() => void cancelRequest(request.id)}
          >
            Cancel
          </Button>
        )}
        {operator && !open && job && <Again job={job} payload={request.payload} />}
      </Group>
    </li>
  )
}

function Took({ request }: { request: CronRunRequest }) {
  if (request.status === 'queued') return 'waiting'
  if (request.status === 'running') return <Elapsed since={request.pickedUpAt} />
  return duration(request.result?.duration_ms ?? between(request.pickedUpAt, request.completedAt))
}

/** The same once more, with the same payload. */
function Again({ job, payload }: { job: CronMirrorJob; payload: unknown }) {
  const { ask, busy, form } = useRun(job, payload)
  return (
    <>
      <Button
        size="compact-xs"
        variant="default"
        loading={busy}
        leftSection={<Icon name="again" size={11} />}
        aria-label={`Run again: ${job.name}`}
        onClick={ask}
      >
        Run again
      </Button>
      {form}
    </>
  )
}
