import { Alert, Button, Popover, Stack, Text, Title } from '@mantine/core'
import { type ReactNode, useEffect, useMemo } from 'react'
import { type ControlState, controlApi, controlState } from '../lib/control'
import { duration, relativeTime, visible } from '../lib/format'
import { live, useAgents, useJobs } from '../lib/live'
import type { CronAgent, CronMirrorJob } from '../lib/rows'
import { useValue } from '../lib/store'
import { configuration, session } from '../lib/supabase'
import { useNow } from './Time'

/** Older than this, the mirror is not trusted any more. */
const STALE_MS = 10 * 60_000

type Health = 'good' | 'fair' | 'bad'

const CONTROL: Record<ControlState, string> = {
  unset: 'Not configured (optional)',
  refused: 'Its address is not used: it must begin with https://, or lead to this machine or a private network',
  unknown: 'Looking…',
  reachable: 'Reachable',
  unreachable: 'Not reachable; everything goes through Supabase',
}

/** When an agent last synced anything: how old what we see may be. Undefined before the first. */
export function newestSync(jobs: CronMirrorJob[] = [], agents: CronAgent[] = []): number | undefined {
  let newest = ''
  for (const { updatedAt } of jobs) if (updatedAt > newest) newest = updatedAt
  for (const { lastSyncAt = '' } of agents) if (lastSyncAt > newest) newest = lastSyncAt
  return newest ? new Date(newest).getTime() : undefined
}

function useConnection() {
  const now = useNow()
  const jobs = useJobs()
  // Not the jobs: a Control API may tell them while Supabase is away.
  const { data: agents, isError } = useAgents()
  const realtime = useValue(live)
  const reached = !isError
  const synced = useMemo(() => newestSync(jobs.data, agents), [jobs.data, agents])
  const age = synced === undefined ? undefined : Math.max(0, now - synced)
  const stale = age !== undefined && age > STALE_MS
  const liveFor = Date.now() - realtime.since
  // The first seconds are no news.
  const calm = realtime.state === 'live' || (realtime.state === 'connecting' && liveFor < 5000)
  const health: Health = !reached ? 'bad' : calm && !stale ? 'good' : 'fair'
  const word = !reached ? 'Offline' : realtime.state === 'live' ? 'Live' : calm ? 'Connecting' : 'Polling'
  return { now, reached, state: realtime.state, liveFor, calm, age, stale, health, word }
}

/** One word and a dot in the header; the whole panel on click. */
export function ConnectionButton({ onSignIn }: { onSignIn: () => void }) {
  const { health, word } = useConnection()
  return (
    <Popover width={340} position="bottom-end" withArrow shadow="md" trapFocus returnFocus>
      <Popover.Target>
        <Button variant="default" size="xs" px="xs" aria-label={`Connection: ${word}`} leftSection={<span className={`dot ${health}`} />}>
          {word}
        </Button>
      </Popover.Target>
      <Popover.Dropdown>
        <ConnectionPanel onSignIn={onSignIn} />
      </Popover.Dropdown>
    </Popover>
  )
}

/** Supabase, Realtime, how fresh the mirror is, and the Control API. */
export function ConnectionPanel({ onSignIn }: { onSignIn?: () => void }) {
  const { now, reached, state, liveFor, calm, age, stale } = useConnection()
  const who = useValue(session)
  const control = useValue(controlState)
  useEffect(() => void controlApi.check(), [])
  const signedIn = who.kind === 'in' ? `Signed in as ${visible(who.email)}` : 'Not signed in: an open project'
  return (
    <Stack gap="sm">
      <Title order={2} size="h5">
        Supabase
      </Title>
      <Line health={reached ? 'good' : 'bad'}>
        {reached ? 'Connected' : 'Not reachable'} · {new URL(configuration().url).host}
      </Line>
      <Line health="good">
        {signedIn}{' '}
        {who.kind !== 'in' && onSignIn && (
          <Button size="compact-xs" variant="default" onClick={onSignIn}>
            Sign in
          </Button>
        )}
      </Line>
      <Line health={state === 'live' ? 'good' : calm ? 'fair' : 'bad'}>
        {state === 'live' && `Realtime is live, for ${duration(liveFor)}`}
        {state !== 'live' && calm && 'Realtime is connecting'}
        {state !== 'live' && !calm && 'Realtime is reconnecting; this page reads every 10 s meanwhile'}
      </Line>
      <Line health={stale ? 'bad' : 'good'}>
        {age === undefined ? 'No jobs are mirrored yet' : `Mirror: synced ${relativeTime(now - age, now)}`}
      </Line>
      {stale && (
        <Alert color="yellow" p="xs">
          What you see may be old. Is the agent’s machine awake? There, look at: <b>cronmirror status</b>
        </Alert>
      )}
      <Title order={2} size="h5">
        Control API
      </Title>
      <Line health={control === 'reachable' || control === 'unset' ? 'good' : 'fair'}>{CONTROL[control]}</Line>
    </Stack>
  )
}

function Line({ health, children }: { health: Health; children: ReactNode }) {
  return (
    <div className="line">
      <span className={`dot ${health}`} />
      <Text size="sm" component="div">
        {children}
      </Text>
    </div>
  )
}
