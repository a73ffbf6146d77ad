import { Card, Group, SimpleGrid, Stack, Table, Text, Title } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useMemo } from 'react'
import { getRuns } from '../lib/api'
import { duration } from '../lib/format'
import { to, useRouteId } from '../lib/hash'
import { useInterval, useJobs, useOpenRequests, useProjectId } from '../lib/live'
import { reasonOf } from '../lib/reasons'
import { type CronMirrorJob, type CronRun, runAt } from '../lib/rows'
import { StandingBadge } from '../parts/connections/StandingBadge'
import { Data } from '../parts/Data'
import { DurationChart } from '../parts/DurationChart'
import { TRIGGERS } from '../parts/HistoryRow'
import { JobFacts, JobSchedule } from '../parts/JobFacts'
import classes from '../parts/JobParts.module.css'
import { Link } from '../parts/Link'
import { MarkRow } from '../parts/MarkRow'
import { runInWords } from '../parts/marks'
import { Nothing, QueryState } from '../parts/QueryState'
import { RunButton } from '../parts/RunButton'
import { RequestBadge, RunBadge, StatusBadge, Toned } from '../parts/StatusBadge'
import { Time } from '../parts/Time'

const CHARTED = 100
const STRIP = 20
const LISTED = 10

/** Everything about one job: when, what, how it went, how long it took, what did not happen. */
export default function Job() {
  const jobId = useRouteId()
  const jobs = useJobs()
  const job = jobs.data?.find((each) => each.jobId === jobId)
  return (
    <QueryState query={jobs} lines={8}>
      <Stack gap="md">
        {job ? <Known job={job} /> : <Gone jobId={jobId} />}
        <History jobId={jobId} name={job?.name ?? jobId} />
      </Stack>
    </QueryState>
  )
}

function Gone({ jobId }: { jobId: string }) {
  return (
    <Nothing title="No agent mirrors a job of this id">
      <Data>{jobId}</Data> may have been renamed or taken out of the YAML. What is still known of its runs is below.{' '}
      <Link to={to.jobs()} underline="always">
        All jobs
      </Link>
    </Nothing>
  )
}

function Known({ job }: { job: CronMirrorJob }) {
  return (
    <>
      <Group justify="space-between" align="flex-start" wrap="nowrap">
        <div style={{ minWidth: 0 }}>
          <Title order={1} size="h2">
            <Data length={120}>{job.name}</Data>
          </Title>
          <Group gap="xs" mt={4}>
            <Text size="sm" c="dimmed" className="mono">
              <Data length={120}>{job.jobId}</Data>
            </Text>
            {!job.enabled && <Toned color="gray">disabled</Toned>}
            {job.connectionId && <StandingBadge id={job.connectionId} />}
            {job.lastStatus && <StatusBadge status={job.lastStatus} />}
            {job.consecutiveFailures > 1 && <Toned color="red">failed {job.consecutiveFailures} times in a row</Toned>}
          </Group>
        </div>
        <RunButton job={job} size="sm" />
      </Group>
      {job.description && (
        <Text>
          <Data length={2000}>{job.description}</Data>
        </Text>
      )}
      <OpenRequests jobId={job.jobId} />
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
        <Section title="Schedule">
          <JobSchedule job={job} />
        </Section>
        <Section title="Job">
          <JobFacts job={job} />
        </Section>
      </SimpleGrid>
      {job.instructions && (
        <Section title="What it runs">
          <pre className={classes.instructions}>
            <Data length={4000}>{job.instructions}</Data>
          </pre>
        </Section>
      )}
    </>
  )
}

/** A part of the page with a heading. */
function Section({ title, more, children }: { title: string; more?: ReactNode; children: ReactNode }) {
  return (
    <Card withBorder component="section" aria-label={title}>
      <Group justify="space-between" mb="xs">
        <Title order={2} size="h5">
          {title}
        </Title>
        {more}
      </Group>
      {children}
    </Card>
  )
}

/** What is asked for and has not ended. */
function OpenRequests({ jobId }: { jobId: string }) {
  const open = (useOpenRequests().data ?? []).filter((request) => request.jobId === jobId)
  if (open.length === 0) return null
  return (
    <Section title="Requests under way">
      <Stack gap={6}>
        {open.slice(0, LISTED).map((request) => (
          <Group key={request.id} gap="sm" wrap="nowrap">
            <RequestBadge request={request} />
            <Text size="sm">
              <Link to={to.request(request.id)} underline="always">
                asked for <Time at={request.requestedAt} />
              </Link>{' '}
              {request.requestedBy && (
                <>
                  by <Data length={60}>{request.requestedBy}</Data>
                </>
              )}
            </Text>
          </Group>
        ))}
        {open.length > LISTED && (
          <Text size="sm" c="dimmed">
            and {open.length - LISTED} more
          </Text>
        )}
      </Stack>
    </Section>
  )
}

function History({ jobId, name }: { jobId: string; name: string }) {
  const projectId = useProjectId()
  const interval = useInterval()
  const newest = useQuery({
    queryKey: ['runs', projectId, 'job', jobId],
    queryFn: async () => (await getRuns({ jobId }, undefined, CHARTED)).runs,
    refetchInterval: interval,
  })
  const missed = useQuery({
    queryKey: ['runs', projectId, 'missed', jobId],
    queryFn: async () => (await getRuns({ jobId, statuses: ['missed', 'skipped'] }, undefined, LISTED)).runs,
    refetchInterval: interval,
  })
  const runs = newest.data ?? []
  // With the oldest first, as a chart is read.
  const begun = useMemo(() => (newest.data ?? []).filter((run) => run.startedAt).reverse(), [newest.data])
  return (
    <QueryState query={newest} lines={4}>
      <Section title="History" more={<RunsLink jobId={jobId} />}>
        <MarkRow
          marks={marksOf(runs.slice(0, STRIP))}
          label={`Last ${STRIP} runs of ${name}, the newest on the right`}
          empty="It has not run yet."
          className={classes.history}
        />
        {runs.length > 0 && <RunTable runs={runs.slice(0, LISTED)} />}
      </Section>
      <Section title="Durations">
        <DurationChart runs={begun} jobName={name} />
      </Section>
      <Section title="What did not run">
        <QueryState query={missed} lines={2}>
          <Missed runs={missed.data ?? []} />
        </QueryState>
      </Section>
    </QueryState>
  )
}

function RunsLink({ jobId }: { jobId: string }) {
  return (
    <Link to={to.runs({ job: jobId })} size="sm">
      All runs of this job
    </Link>
  )
}

function marksOf(runs: CronRun[]) {
  return runs.toReversed().map((run, index) => ({
    key: run.id,
    x: (index + STRIP - runs.length + 0.1) / STRIP,
    width: 0.8 / STRIP,
    status: run.status,
    label: runInWords(run),
    to: to.run(run.id),
  }))
}

function RunTable({ runs }: { runs: CronRun[] }) {
  return (
    <Table.ScrollContainer minWidth={520} mt="sm">
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>When</Table.Th>
            <Table.Th>Status</Table.Th>
            <Table.Th>Trigger</Table.Th>
            <Table.Th>Duration</Table.Th>
            <Table.Th>Agent</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {runs.map((run) => (
            <Table.Tr key={run.id}>
              <Table.Td>
                <Link to={to.run(run.id)} size="sm">
                  <Time at={runAt(run)} />
                </Link>
              </Table.Td>
              <Table.Td>
                <RunBadge run={run} />
              </Table.Td>
              <Table.Td>
                {TRIGGERS[run.trigger] ?? <Data length={20}>{run.trigger}</Data>}
                {run.attempt > 1 && `, attempt ${run.attempt}`}
              </Table.Td>
              <Table.Td>{duration(run.durationMs)}</Table.Td>
              <Table.Td>
                <Data length={40}>{run.agentId}</Data>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  )
}

/** Slots that were missed and runs that were passed over, each with its cause. */
function Missed({ runs }: { runs: CronRun[] }) {
  if (runs.length === 0) return <Text c="dimmed">Nothing: every slot that is known was run.</Text>
  return (
    <Stack gap={6}>
      {runs.map((run) => (
        <Group key={run.id} gap="sm" wrap="nowrap" align="baseline">
          <StatusBadge status={run.status} />
          <Text size="sm">
            <Link to={to.run(run.id)} inherit underline="always">
              <Time at={run.scheduledFor ?? run.createdAt} />
            </Link>{' '}
            · <Data>{run.error ?? reasonOf(run.status, run.reason).detail}</Data>
          </Text>
        </Group>
      ))}
    </Stack>
  )
}
