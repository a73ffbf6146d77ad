// One run, or one attempt of a request: why it ended, what it printed, what happened when, what it was given.

import { Card, Code, Grid, Stack, Title } from '@mantine/core'
import type { ReactNode } from 'react'
import { duration, shorten, visible } from '../lib/format'
import { to } from '../lib/hash'
import { type Asked, journey } from '../lib/journey'
import { neverBegan } from '../lib/reasons'
import type { CronRun, CronRunRequest } from '../lib/rows'
import { useOutput } from '../output/useOutput'
import { Unheard } from './Attendance'
import { Data } from './Data'
import { ExitCode, RunEnding } from './Ending'
import { Facts } from './Facts'
import { JourneyView } from './JourneyView'
import { Link } from './Link'
import { OutputPanel } from './OutputPanel'
import { Elapsed, Time, useNow } from './Time'

const TRIGGERS: Record<string, string> = {
  schedule: 'its schedule',
  request: 'a request',
  catch_up: 'a missed slot, caught up',
  startup: 'a start of its agent',
}
/** JSON is shown up to here; all of it is in the database. */
const JSON_LENGTH = 20_000

interface Props {
  run: CronRun
  request?: CronRunRequest | null
  /** Every attempt of the request, `run` among them. */
  attempts: CronRun[]
}

export function RunView({ run, request, attempts }: Props) {
  const began = run.startedAt !== undefined || run.status === 'running'
  return (
    <Grid gap="lg">
      <Grid.Col span={{ base: 12, lg: 8 }}>
        {began ? <Began key={run.id} run={run} request={request} /> : <RunEnding run={run} request={request} />}
      </Grid.Col>
      <Grid.Col span={{ base: 12, lg: 4 }}>
        <Stack>
          <Section title="What happened when">
            <When run={run} request={request} attempts={attempts} />
          </Section>
          <Section title="About this run">
            <RunFacts run={run} request={request} attempts={attempts} />
          </Section>
          {request && <Given request={request} />}
        </Stack>
      </Grid.Col>
    </Grid>
  )
}

function Began({ run, request }: Pick<Props, 'run' | 'request'>) {
  const { output, reached } = useOutput(run)
  return (
    <Stack>
      <Unheard run={run} request={request} />
      <RunEnding run={run} request={request} output={output} />
      <OutputPanel run={run} output={output} reached={reached} />
    </Stack>
  )
}

export function When({ run, request, attempts }: { run?: CronRun; request?: CronRunRequest | null; attempts: CronRun[] }) {
  const now = useNow()
  return <JourneyView moments={journey((request as Asked | null) ?? undefined, request ? attempts : run ? [run] : [], now)} />
}

function RunFacts({ run, request, attempts }: Props) {
  const running = run.status === 'running' && run.startedAt
  return (
    <Facts
      facts={[
        [
          'Job',
          <Link inherit key="job" to={to.job(run.jobId)}>
            <Data>{run.jobId}</Data>
          </Link>,
        ],
        ['Because of', TRIGGERS[run.trigger] ?? <Data key="trigger">{run.trigger}</Data>],
        [
          'Request',
          run.requestId && (
            <Link inherit key="request" to={to.request(run.requestId)}>
              {run.requestId.slice(0, 8)}
            </Link>
          ),
        ],
        ['Asked by', request?.requestedBy && <Data key="by">{request.requestedBy}</Data>],
        [
          'Agent',
          <Link inherit key="agent" to={to.agents()}>
            <Data>{run.agentId}</Data>
          </Link>,
        ],
        ['Attempt', attemptWords(run, request, attempts)],
        ['Slot', run.scheduledFor && <Time key="slot" at={run.scheduledFor} />],
        running
          ? ['Runs for', <Elapsed key="for" since={run.startedAt} />]
          : ['Duration', run.durationMs === undefined ? undefined : duration(run.durationMs)],
        ['Exit code', run.exitCode === undefined ? undefined : <ExitCode key="code" code={run.exitCode} />],
        ['Status', neverBegan(run.status) ? 'did not run' : undefined],
        ['Run id', <Code key="id">{run.id}</Code>],
      ]}
    />
  )
}

function attemptWords(run: CronRun, request: CronRunRequest | null | undefined, attempts: CronRun[]): ReactNode {
  const others = attempts.filter((each) => each.id !== run.id)
  const of = request?.maxAttempts ? ` of at most ${request.maxAttempts}` : ''
  if (others.length === 0) return `${run.attempt}${of}`
  return (
    <>
      {run.attempt}
      {of} (
      {others.map((each, index) => (
        <span key={each.id}>
          {index > 0 && ', '}
          <Link inherit to={to.run(each.id)}>
            attempt {each.attempt}
          </Link>
        </span>
      ))}
      )
    </>
  )
}

/** What it was given, and what it answered. */
export function Given({ request }: { request: CronRunRequest }) {
  const { stdout_tail: _stdout, stderr_tail: _stderr, ...result } = request.result ?? {}
  return (
    <>
      {request.payload !== undefined && (
        <Section title="Payload">
          <Json value={request.payload} label="Payload" />
        </Section>
      )}
      {request.result && (
        <Card withBorder component="details" padding="md">
          <Title order={2} size="h5" component="summary" style={{ cursor: 'pointer' }}>
            Result
          </Title>
          <Json value={result} label="Result" />
        </Card>
      )}
    </>
  )
}

function Json({ value, label }: { value: unknown; label: string }) {
  return (
    <Code
      block
      tabIndex={0}
      aria-label={label}
      role="region"
      mah="20em"
      style={{ overflow: 'auto', whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}
    >
      <bdi>{shorten(visible(JSON.stringify(value, null, 2)), JSON_LENGTH)}</bdi>
    </Code>
  )
}

export function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Card withBorder component="section" aria-label={title} padding="md">
      <Title order={2} size="h5" mb="sm">
        {title}
      </Title>
      {children}
    </Card>
  )
}
