import { Alert, SegmentedControl, Stack } from '@mantine/core'
import type { CronRun, CronRunRequest } from '../lib/api'
import { useAttempts } from '../lib/attempts'
import { isUuid, to, useFilters, useRouteId } from '../lib/hash'
import { useRunRequest } from '../lib/live'
import { WaitsFor } from '../parts/Attendance'
import { Data } from '../parts/Data'
import { RequestEnding } from '../parts/Ending'
import { Facts } from '../parts/Facts'
import { Link } from '../parts/Link'
import { Nothing, QueryState } from '../parts/QueryState'
import { RunHead } from '../parts/RunHead'
import { Given, RunView, Section, When } from '../parts/RunView'
import { RequestBadge } from '../parts/StatusBadge'
import { Time } from '../parts/Time'

/** `#/requests/:id`: what somebody asked for, and what became of it; its newest attempt, or the one in `?attempt=`. */
export default function Request() {
  const id = useRouteId()
  return isUuid(id) ? <Known id={id} /> : <Unknown />
}

function Known({ id }: { id: string }) {
  const query = useRunRequest(id)
  return <QueryState query={query}>{query.data ? <Shown request={query.data} /> : <Unknown />}</QueryState>
}

function Unknown() {
  return (
    <Nothing title="There is no such request">
      It may be older than what is kept (14 days), or belong to a project that you are no member of.
    </Nothing>
  )
}

function Shown({ request }: { request: CronRunRequest }) {
  const query = useAttempts(request.id)
  const attempts = query.data ?? []
  const [filters, setFilters] = useFilters()
  const wanted = Number(filters.get('attempt'))
  const run = attempts.find((each) => each.attempt === wanted) ?? attempts.at(-1)
  const open = request.status === 'queued' || request.status === 'running'
  return (
    <>
      <RunHead
        what="Request"
        id={request.id}
        jobId={request.jobId}
        projectId={request.projectId}
        status={request.status}
        badge={<RequestBadge request={request} />}
        request={request}
        open={open}
      />
      <Stack>
        {attempts.length > 1 && (
          <SegmentedControl
            aria-label="Which attempt"
            value={String(run?.attempt)}
            onChange={(attempt) => setFilters({ attempt })}
            data={attempts.map((each) => ({ value: String(each.attempt), label: `Attempt ${each.attempt}: ${each.status}` }))}
            style={{ alignSelf: 'flex-start' }}
          />
        )}
        {request.status === 'queued' && attempts.length > 0 && <NextAttempt request={request} />}
        {run ? <RunView run={run} request={request} attempts={attempts} /> : <Unbegun request={request} attempts={attempts} />}
      </Stack>
    </>
  )
}

function NextAttempt({ request }: { request: CronRunRequest }) {
  return (
    <Alert color="yellow">
      The next attempt is due <Time at={request.runAt} />.
      {request.lastError && (
        <>
          {' '}
          The last one: <Data length={500}>{request.lastError}</Data>
        </>
      )}
    </Alert>
  )
}

/** It waits, or ended without a run. */
function Unbegun({ request, attempts }: { request: CronRunRequest; attempts: CronRun[] }) {
  return (
    <Stack maw={760}>
      <RequestEnding request={request} />
      {request.status === 'queued' && <WaitsFor request={request} />}
      <Section title="What happened when">
        <When request={request} attempts={attempts} />
      </Section>
      <Section title="About this request">
        <Facts
          facts={[
            [
              'Job',
              <Link inherit key="job" to={to.job(request.jobId)}>
                <Data>{request.jobId}</Data>
              </Link>,
            ],
            ['Asked by', request.requestedBy && <Data key="by">{request.requestedBy}</Data>],
            ['Claimed by', request.claimedBy && <Data key="claimed">{request.claimedBy}</Data>],
            ['Attempts', request.attempts ? String(request.attempts) : undefined],
          ]}
        />
      </Section>
      <Given request={request} />
    </Stack>
  )
}
