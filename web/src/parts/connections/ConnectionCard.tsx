import { Alert, Card, Code, Group, Stack, Text, Title } from '@mantine/core'
import { type ReactNode, useEffect, useRef } from 'react'
import { shorten, visible } from '../../lib/format'
import { to } from '../../lib/hash'
import { useJobs, useProject, useReconnects } from '../../lib/live'
import type { Presence } from '../../lib/presence'
import { isThere } from '../../lib/presence'
import { type CronConnection, type CronMirrorJob, mayAdminister } from '../../lib/rows'
import { isOpen, shownReconnect } from '../../lib/signIn'
import { AgentState } from '../AgentState'
import { Data } from '../Data'
import { Facts } from '../Facts'
import { Link } from '../Link'
import { StatusBadge, Toned } from '../StatusBadge'
import { Time, useNow } from '../Time'
import { ReconnectButton } from './ReconnectButton'
import { SignIn } from './SignIn'
import { Standing } from './StandingBadge'

const LISTED = 8

interface Props {
  connection: CronConnection
  agent: Presence | undefined
  /** A link led to it. */
  wanted: boolean
}

/** One OAuth connection: where it stands, who waits for it, and signing it in again. */
export function ConnectionCard({ connection, agent, wanted }: Props) {
  const { connectionId, provider, needsReauth } = connection
  const now = useNow()
  const admin = mayAdminister(useProject())
  const request = shownReconnect(connection, useReconnects().data ?? [], now)
  const users = (useJobs().data ?? []).filter((job) => job.connectionId === connectionId)
  const away = agent !== undefined && !isThere(agent)
  const card = useRef<HTMLDivElement>(null)
  useEffect(() => {
    if (wanted) card.current?.scrollIntoView({ block: 'nearest' })
  }, [wanted])
  return (
    <Card
      ref={card}
      withBorder
      component="section"
      aria-label={`Connection ${shorten(visible(connectionId), 80)}`}
      data-connection={connectionId}
    >
      <Group justify="space-between" align="flex-start" mb="xs" gap="xs">
        <div style={{ minWidth: 0 }}>
          <Title order={2} size="h4">
            <Data length={80}>{connectionId}</Data>
          </Title>
          <Group gap={6} mt={4}>
            <Standing connection={connection} />
            <Trouble connection={connection} />
          </Group>
        </div>
        {admin && !(request && isOpen(request, now)) && <ReconnectButton connection={connection} />}
      </Group>
      <Stack gap="xs">
        {request ? (
          <SignIn key={request.id} request={request} connection={connection} away={away} />
        ) : (
          needsReauth && <Lost admin={admin} users={users} connectionId={connectionId} />
        )}
        <Facts
          facts={[
            ['Provider', <Data key="provider">{provider}</Data>],
            ['Account', connection.account ? <Data key="account">{connection.account}</Data> : <None key="account">not known</None>],
            [
              'Scopes',
              connection.scopes.length ? <Scopes key="scopes" scopes={connection.scopes} /> : <None key="scopes">none named</None>,
            ],
            ['Agent', <Holder key="agent" agentId={connection.agentId} agent={agent} />],
            ['Token expires', <Time key="expires" at={connection.tokenExpiresAt} none={connection.isActive ? 'not said' : 'no token'} />],
            ['Last refresh', <Time key="refresh" at={connection.lastRefreshAt} none="never" />],
            ['Failures in a row', <Failures key="failures" connection={connection} />],
            [
              'Last error',
              connection.lastRefreshError && (
                <Data key="error" length={500}>
                  {connection.lastRefreshError}
                </Data>
              ),
            ],
            ['Jobs that use it', users.length ? <Users key="users" jobs={users} /> : <None key="users">none</None>],
          ]}
        />
      </Stack>
    </Card>
  )
}

const None = ({ children }: { children: ReactNode }) => <span className="dim">{children}</span>

const KINDS = { rate_limit: 'rate limited', transient: 'provider unreachable', permanent: 'refresh refused' } as const

/** It still works, and something is not as it should be. */
function Trouble({ connection }: { connection: CronConnection }) {
  const { needsReauth, lastFailureKind, consecutiveFailures, consecutiveTransientFailures } = connection
  if (needsReauth || !lastFailureKind || consecutiveFailures + consecutiveTransientFailures === 0) return null
  return <Toned color="orange">{KINDS[lastFailureKind] ?? 'refresh fails'}</Toned>
}

function Failures({ connection: { consecutiveFailures: refused, consecutiveTransientFailures: passing } }: { connection: CronConnection }) {
  if (refused + passing === 0) return <None>none</None>
  return (
    <>
      {[refused > 0 && `${refused} refused by the provider`, passing > 0 && `${passing} that pass by themselves (network, rate limit)`]
        .filter(Boolean)
        .join(', ')}
    </>
  )
}

function Scopes({ scopes }: { scopes: string[] }) {
  return (
    <span className="mono">
      <Data length={600}>{scopes.join(' ')}</Data>
    </span>
  )
}

function Holder({ agentId, agent }: { agentId: string; agent: Presence | undefined }) {
  return (
    <Group gap={6}>
      <Link to={to.agents()} inherit>
        <Data length={60}>{agentId}</Data>
      </Link>
      {agent && <AgentState who={agent} />}
    </Group>
  )
}

function Users({ jobs }: { jobs: CronMirrorJob[] }) {
  return (
    <Stack gap={2}>
      {jobs.slice(0, LISTED).map((job) => (
        <Group key={job.id} gap={6}>
          <Link to={to.job(job.jobId)} inherit>
            <Data length={60}>{job.name}</Data>
          </Link>
          {job.lastStatus && <StatusBadge status={job.lastStatus} />}
        </Group>
      ))}
      {jobs.length > LISTED && <span className="dim">and {jobs.length - LISTED} more</span>}
    </Stack>
  )
}

/** Nobody is signing it in just now. */
function Lost({ admin, users, connectionId }: { admin: boolean; users: CronMirrorJob[]; connectionId: string }) {
  const held = users.length === 1 ? '1 job waits for it' : `${users.length} jobs wait for it`
  return (
    <Alert color="red" role="status" title={users.length ? `${held}, held` : 'Somebody has to sign in again'}>
      <Text size="sm" component="div">
        {admin ? 'Press Reconnect, or on its machine: ' : 'An admin of the project can reconnect it here; or on its machine: '}
        <Code>
          cronmirror connections login <Data length={60}>{connectionId}</Data>
        </Code>
      </Text>
    </Alert>
  )
}
