import { Code, Group, Stack, Text } from '@mantine/core'
import { useMemo } from 'react'
import { duration, exactTime } from '../lib/format'
import { to } from '../lib/hash'
import type { CronMirrorJob } from '../lib/rows'
import { scheduleExpression, scheduleInWords } from '../lib/schedules'
import { upcoming } from '../lib/slots'
import { AgentState } from './AgentState'
import { usePresences } from './agentPresence'
import { StandingBadge } from './connections/StandingBadge'
import { Data } from './Data'
import { Facts } from './Facts'
import classes from './JobParts.module.css'
import { Link } from './Link'
import { useStandstill } from './standstill'
import { Tags } from './Tags'
import { Time, useNow } from './Time'

const NEXT = 5
/** How far ahead the next runs are looked for; a yearly job has one. */
const AHEAD_MS = 400 * 86_400_000

/** When it runs: in words, as it is written, and the next times. */
export function JobSchedule({ job }: { job: CronMirrorJob }) {
  const standstill = useStandstill()(job)
  const minute = Math.floor(useNow() / 10_000) * 10_000
  const held = standstill?.held
  const next = useMemo(() => upcoming(job, minute, minute + AHEAD_MS, { limit: NEXT, held }), [job, minute, held])
  const expression = scheduleExpression(job)
  return (
    <Stack gap="xs">
      <Text>
        <Data length={300}>{scheduleInWords(job)}</Data>{' '}
        {expression && (
          <Code style={{ whiteSpace: 'nowrap' }}>
            <Data>{expression}</Data>
          </Code>
        )}
      </Text>
      {standstill && (
        <Text size="sm" c="var(--warn)">
          {standstill.held
            ? `Stands still: ${standstill.why}.`
            : 'Its agent is offline. It needs no Supabase to run by schedule; what it did shows when it is back.'}
        </Text>
      )}
      {next.note === 'disabled' && <Text size="sm">Disabled: nothing is expected.</Text>}
      {next.note === 'held' && !standstill && <Text size="sm">Its agent announces no next run.</Text>}
      {next.slots.length > 0 && (
        <div>
          <Text size="sm" fw={500}>
            Next runs
          </Text>
          <ol className={classes.next}>
            {next.slots.map((at) => (
              <li key={at}>
                {exactTime(at, job.tz)} · <Time at={new Date(at).toISOString()} zone={job.tz} />
              </li>
            ))}
          </ol>
          <Text size="xs" c="dimmed">
            {next.note === 'unreadable'
              ? 'As its agent announces it; this page cannot continue this expression.'
              : next.slots.length > 1
                ? 'The first as its agent announces it, the others worked out from the schedule.'
                : 'As its agent announces it.'}
          </Text>
        </div>
      )}
    </Stack>
  )
}

const OVERLAPS: Record<string, string> = {
  skip: 'a run is skipped while another goes on',
  queue: 'a run waits until the one before has ended',
  cancel_previous: 'a run ends the one before',
  allow: 'runs may go on side by side',
}

/** Who runs it, from where it comes, and by which rules. */
export function JobFacts({ job }: { job: CronMirrorJob }) {
  return (
    <Facts
      facts={[
        [job.placement === 'any' ? 'Agents, any of them' : 'Agent', <Agents key="agents" ids={job.agentIds} />],
        [
          'Source',
          <span key="source">
            <Data>{job.source ?? 'unknown'}</Data>, mirrored <Time at={job.updatedAt} />
          </span>,
        ],
        ['Last run', <Time key="last" at={job.lastRunAt} none="never" />],
        ['It took', job.lastDurationMs === undefined ? undefined : duration(job.lastDurationMs)],
        ['Time limit', job.timeoutS === undefined ? 'none' : duration(job.timeoutS * 1000)],
        ['Overlap', job.overlap && (OVERLAPS[job.overlap] ?? <Data key="overlap">{job.overlap}</Data>)],
        ['Attempts', retryInWords(job.retry)],
        ['Payload', job.accepts ? 'asked for when it is run' : 'none'],
        ['Connection', job.connectionId && <JobConnection key="connection" id={job.connectionId} />],
        ['Tags', job.tags && job.tags.length > 0 ? <Tags key="tags" tags={job.tags} /> : undefined],
      ]}
    />
  )
}

function JobConnection({ id }: { id: string }) {
  return (
    <Group gap={6}>
      <Link to={to.connections(id)} inherit>
        <Data length={60}>{id}</Data>
      </Link>
      <StandingBadge id={id} />
    </Group>
  )
}

function Agents({ ids }: { ids: string[] }) {
  const agents = usePresences()
  if (ids.length === 0) return <span className="dim">none serves it</span>
  return ids.map((agentId) => {
    const who = agents.get(agentId)
    return (
      <Group key={agentId} gap={6}>
        <Link to={to.agents()} inherit>
          <Data length={60}>{agentId}</Data>
        </Link>
        {who && <AgentState who={who} />}
      </Group>
    )
  })
}

/** "once", "up to 3, after exit_code or timeout". */
function retryInWords(retry: Record<string, unknown> | undefined): string {
  const attempts = Number(retry?.max_attempts ?? 1)
  if (!(attempts > 1)) return 'once'
  const on = Array.isArray(retry?.on) ? retry.on.filter((each): each is string => typeof each === 'string') : []
  return on.length > 0 ? `up to ${attempts}, after ${on.map((each) => each.replaceAll('_', ' ')).join(' or ')}` : `up to ${attempts}`
}
