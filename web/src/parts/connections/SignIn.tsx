import { Alert, Button, Code, CopyButton, Group, Stack, Text } from '@mantine/core'
import { type ReactNode, useState } from 'react'
import { cancelReconnect } from '../../lib/api'
import { queryClient } from '../../lib/cache'
import { explain } from '../../lib/errors'
import { redirectUri, rememberBegun } from '../../lib/returns'
import type { CronConnection, CronReconnect } from '../../lib/rows'
import { isOpen, type Step, stepOf } from '../../lib/signIn'
import { Data } from '../Data'
import { Icon } from '../icons'
import { failed } from '../run'
import { Time, useNow } from '../Time'
import { useReconnect } from './ReconnectButton'

interface Props {
  request: CronReconnect
  connection: CronConnection
  /** Its agent is not there. */
  away: boolean
}

const LOOKS: Record<Step['kind'], string> = {
  asked: 'blue',
  browser: 'blue',
  device: 'blue',
  given: 'blue',
  done: 'green',
  failed: 'red',
}

/** Mantine would cut the ring off that shows where the keyboard is. */
const ROOMY = { body: { overflow: 'visible' }, message: { overflow: 'visible' } }

/** A sign-in, step by step. */
export function SignIn({ request, connection, away }: Props) {
  const now = useNow()
  const [hidden, setHidden] = useState(false)
  const step = stepOf(request, away, now)
  const open = isOpen(request, now)
  if (hidden && !open) return null
  return (
    <Alert color={LOOKS[step.kind]} role="status" title={TITLES[step.kind]} data-step={step.kind} styles={ROOMY}>
      <Stack gap="xs" align="flex-start">
        <Words step={step} request={request} />
        <Group gap="xs">
          {step.kind === 'browser' && <Continue step={step} request={request} />}
          {step.kind === 'device' && <Open url={step.url} />}
          {step.kind === 'failed' && step.otherAccount && <OtherAccount connectionId={connection.connectionId} />}
          {open ? <Cancel request={request} /> : <Quiet onClick={() => setHidden(true)}>Dismiss</Quiet>}
          {open && (
            <Text size="xs" className="dim">
              ends <Time at={request.expiresAt} />
            </Text>
          )}
        </Group>
      </Stack>
    </Alert>
  )
}

const TITLES: Record<Step['kind'], string> = {
  asked: 'Waiting for the agent',
  browser: 'Sign in at the provider',
  device: 'Type this code in at the provider',
  given: 'The agent fetches the token',
  done: 'Reconnected',
  failed: 'Not reconnected',
}

function Words({ step, request }: { step: Step; request: CronReconnect }) {
  const agent = <Data length={60}>{request.agentId}</Data>
  switch (step.kind) {
    case 'asked':
    case 'given':
      return step.away ? (
        <Text size="sm">
          {agent} is offline. It goes on from here if it is back in time; on its machine: <Code>cronmirror run</Code>
        </Text>
      ) : (
        <Text size="sm">
          {agent} {step.kind === 'asked' ? 'prepares the sign-in. The verifier stays with it.' : 'exchanges the code.'}
        </Text>
      )
    case 'browser':
      return (
        <Text size="sm" component="div">
          You go to <Host url={step.url} /> and come back here. The provider has to know this address as a redirect URI of your client:{' '}
          <Code>
            <Data length={300}>{redirectUri()}</Data>
          </Code>
        </Text>
      )
    case 'device':
      return (
        <>
          <Text size="sm">
            At <Host url={step.url} whole />, in any browser. This page goes on by itself.
          </Text>
          <Group gap="sm">
            <Code fz="xl" fw={700} data-user-code>
              <Data length={100}>{step.code}</Data>
            </Code>
            <CopyButton value={step.code}>{({ copied, copy }) => <Quiet onClick={copy}>{copied ? 'Copied' : 'Copy'}</Quiet>}</CopyButton>
          </Group>
        </>
      )
    case 'done':
      return <Text size="sm">Jobs that waited for it go on.</Text>
    case 'failed':
      return (
        <Text size="sm">
          <Data length={500}>{step.why}</Data>
        </Text>
      )
  }
}

/** Where it leads, for who looks: the address comes from the agent. */
function Host({ url, whole = false }: { url: URL; whole?: boolean }) {
  return (
    <b>
      <Data length={200}>{whole ? url.host + (url.pathname === '/' ? '' : url.pathname) : url.host}</Data>
    </b>
  )
}

/** To the provider in this tab: it sends the browser back here, wherever that was opened. */
function Continue({ step, request }: { step: Extract<Step, { kind: 'browser' }>; request: CronReconnect }) {
  const leave = () => {
    rememberBegun(step.state, { requestId: request.id, projectId: request.projectId, connectionId: request.connectionId })
    location.assign(step.url)
  }
  return (
    <Button size="compact-sm" onClick={leave} autoFocus>
      Continue
    </Button>
  )
}

/** In a tab that knows nothing of this one. */
function Open({ url }: { url: URL }) {
  return (
    <Button size="compact-sm" onClick={() => window.open(url, '_blank', 'noopener,noreferrer')}>
      Open the page
    </Button>
  )
}

function OtherAccount({ connectionId }: { connectionId: string }) {
  const { busy, begin } = useReconnect(connectionId)
  return (
    <Button size="compact-sm" loading={busy} leftSection={<Icon name="again" size={13} />} onClick={() => void begin(true)}>
      Use the other account
    </Button>
  )
}

function Cancel({ request }: { request: CronReconnect }) {
  const [busy, setBusy] = useState(false)
  const cancel = async () => {
    setBusy(true)
    await cancelReconnect(request.projectId, request.id).catch((error: unknown) => failed('Not cancelled', explain(error)))
    await queryClient.invalidateQueries({ queryKey: ['reconnects'] })
    setBusy(false)
  }
  return (
    <Quiet busy={busy} onClick={() => void cancel()}>
      Cancel
    </Quiet>
  )
}

function Quiet({ children, busy = false, onClick }: { children: ReactNode; busy?: boolean; onClick: () => void }) {
  return (
    <Button size="compact-sm" variant="default" loading={busy} onClick={onClick}>
      {children}
    </Button>
  )
}
