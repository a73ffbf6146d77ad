import { Alert, Card, Code, Group, Stack, Text, Title } from '@mantine/core'
import { type ReactNode, useMemo } from 'react'
import { configFaults, outageOf, tagsOf } from '../lib/agents'
import { between, duration, exactTime, shorten, visible } from '../lib/format'
import { to } from '../lib/hash'
import { useProject } from '../lib/live'
import { isThere, type Presence } from '../lib/presence'
import { type CronRunRequest, mayOperate } from '../lib/rows'
import { AgentState } from './AgentState'
import { Data } from './Data'
import { Facts } from './Facts'
import { Link } from './Link'
import { PauseControl } from './PauseControl'
import { Tags } from './Tags'
import { Time } from './Time'

/** More than this, and schedules and leases are off by what people notice. */
const SKEW_MS = 5000
const LISTED = 5

interface Props {
  who: Presence
  /** Requests that it could take, oldest first. */
  waiting: CronRunRequest[]
}

/** One agent: how it is, what it runs on, what waits for it. */
export function AgentCard({ who, waiting }: Props) {
  const { agent, paused } = who
  const operator = mayOperate(useProject())
  const name = agent.name ?? agent.agentId
  return (
    <Card withBorder component="section" aria-label={`Agent ${shorten(visible(name), 80)}`} data-agent={agent.agentId}>
      <Group justify="space-between" align="flex-start" wrap="nowrap" mb="xs">
        <div style={{ minWidth: 0 }}>
          <Title order={2} size="h4">
            <Data length={80}>{name}</Data>
          </Title>
          {name !== agent.agentId && (
            <Text size="sm" c="dimmed" className="mono">
              <Data length={80}>{agent.agentId}</Data>
            </Text>
          )}
          <Group gap={6} mt={6}>
            <AgentState who={who} />
          </Group>
        </div>
        {operator && <PauseControl paused={paused?.by === 'operator'} agentId={agent.agentId} what={name} size="compact-sm" />}
      </Group>
      <Stack gap="xs">
        {paused && <PauseWords paused={paused} />}
        {agent.configError && <ConfigError error={agent.configError} />}
        <Waiting requests={waiting} away={!isThere(who)} />
        <AgentFacts who={who} />
      </Stack>
    </Card>
  )
}

function PauseWords({ paused }: { paused: NonNullable<Presence['paused']> }) {
  const what = paused.mode === 'all' ? 'Paused: nothing runs, requests wait.' : 'Schedule paused; requests are served.'
  return (
    <Alert color="orange" role="status">
      {what} {paused.until ? `Until ${exactTime(paused.until)}.` : 'Until somebody resumes it.'}
      {paused.by === 'box' && (
        <>
          {' '}
          This pause was set on the machine itself and is lifted there: <Code>cronmirror resume</Code>
        </>
      )}
    </Alert>
  )
}

function ConfigError({ error }: { error: string }) {
  return (
    <Alert color="red" title="Its configuration has a fault; the last good one stays in force" role="status">
      <Stack gap={4}>
        {configFaults(error).map(({ place, text }) => (
          <Text key={`${place}${text}`} size="sm" component="div">
            {place && (
              <Code>
                <Data>{place}</Data>
              </Code>
            )}{' '}
            <Data length={1000}>{text}</Data>
          </Text>
        ))}
      </Stack>
    </Alert>
  )
}

function Waiting({ requests, away }: { requests: CronRunRequest[]; away: boolean }) {
  if (requests.length === 0) return null
  const words = requests.length === 1 ? '1 request waits for it' : `${requests.length} requests wait for it`
  const list = (
    <Stack gap={2}>
      {requests.slice(0, LISTED).map((request) => (
        <Text key={request.id} size="sm" component="div">
          <Link to={to.request(request.id)} underline="always">
            <Data length={60}>{request.jobId}</Data>
          </Link>{' '}
          asked for <Time at={request.requestedAt} />
          {request.expiresAt && (
            <>
              , expires <Time at={request.expiresAt} />
            </>
          )}
        </Text>
      ))}
      {requests.length > LISTED && (
        <Text size="sm" c="dimmed">
          and {requests.length - LISTED} more
        </Text>
      )}
    </Stack>
  )
  return (
    <Alert color={away ? 'orange' : 'blue'} title={away ? `${words} to come back` : words} role="status">
      {list}
    </Alert>
  )
}

function AgentFacts({ who: { agent, lastSeenAt } }: { who: Presence }) {
  const tags = useMemo(() => tagsOf(agent.info), [agent.info])
  return (
    <Facts
      facts={[
        ['Last heard', <Time key="heard" at={lastSeenAt} none="never" />],
        ['Connected since', <Time key="connected" at={agent.connectedSince} />],
        ['Hears of requests by', agent.realtime === 'connected' ? 'Realtime' : 'polling: Realtime is not connected'],
        ['Clock', <Skew key="clock" ms={agent.clockSkewMs} />],
        ['Jobs', `${agent.jobs}, ${agent.running} running now`],
        ['Mirror synced', <Time key="synced" at={agent.lastSyncAt} none="never" />],
        ['Version', <Data key="version">{agent.version ?? 'unknown'}</Data>],
        ['Machine', <Data key="machine">{[agent.hostname, agent.platform].filter(Boolean).join(' · ') || 'unknown'}</Data>],
        ['Tags', tags.length > 0 ? <Tags key="tags" tags={tags} /> : undefined],
        ['Last outage', <Outage key="outage" info={agent.info} />],
      ]}
    />
  )
}

function Skew({ ms }: { ms: number | undefined }): ReactNode {
  if (ms === undefined) return <span className="dim">not measured</span>
  if (Math.abs(ms) < 1000) return 'right, to the second'
  const words = `${duration(Math.abs(ms))} ${ms > 0 ? 'ahead of' : 'behind'} Supabase's`
  return Math.abs(ms) > SKEW_MS ? (
    <Text span inherit c="var(--warn)" fw={600}>
      {words}; set the machine's clock
    </Text>
  ) : (
    words
  )
}

function Outage({ info }: { info: unknown }): ReactNode {
  const outage = outageOf(info)
  if (!outage) return <span className="dim">none known</span>
  const counts = [
    outage.slotsMissed > 0 && `${outage.slotsMissed} ${outage.slotsMissed === 1 ? 'run' : 'runs'} missed`,
    outage.requestsWaiting > 0 && `${outage.requestsWaiting} ${outage.requestsWaiting === 1 ? 'request' : 'requests'} waited`,
  ].filter(Boolean)
  return (
    <>
      {duration(between(outage.from, outage.to))}, ended <Time at={outage.to} />: <Data>{outage.cause}</Data>
      {counts.length > 0 && `; ${counts.join(', ')}`}
    </>
  )
}
