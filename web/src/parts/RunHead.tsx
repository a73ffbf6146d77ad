import { Alert, Button, Group, Text, Title } from '@mantine/core'
import { type ReactNode, useState } from 'react'
import { navigate, to } from '../lib/hash'
import { useJobs, useProject, useProjectId } from '../lib/live'
import { type CronRunRequest, mayOperate } from '../lib/rows'
import { chooseProject } from '../lib/supabase'
import { useTitle } from '../lib/title'
import { Data } from './Data'
import { Icon } from './icons'
import { Link } from './Link'
import { cancelRequest, runJob } from './run'

interface Props {
  /** "Run", "Request". */
  what: string
  id: string
  jobId: string
  projectId: string
  status: string
  badge: ReactNode
  request?: CronRunRequest | null
  /** It waits or runs. */
  open: boolean
}

/** Whose run it is, how it stands, and what one may do about it. */
export function RunHead({ what, id, jobId, projectId, status, badge, request, open }: Props) {
  const job = useJobs().data?.find((each) => each.jobId === jobId)
  useTitle(`${job?.name ?? jobId}: ${status}`)
  const here = useProjectId() === projectId
  const may = mayOperate(useProject()) && here
  return (
    <>
      <Group justify="space-between" align="flex-start" mb="md" gap="sm">
        <div style={{ minWidth: 0 }}>
          <Text size="sm" c="dimmed">
            <Link to={to.runs()} inherit underline="always">
              Runs
            </Link>{' '}
            / {what} {id.slice(0, 8)}
          </Text>
          <Group gap="sm">
            <Title order={1} size="h2">
              <Link to={to.job(jobId)} c="inherit" inherit>
                <Data length={120}>{job?.name ?? jobId}</Data>
              </Link>
            </Title>
            <span role="status" aria-label="Status">
              {badge}
            </span>
          </Group>
        </div>
        {may && (
          <Group gap="xs">
            {open && request && <CancelButton request={request} />}
            {!open && <AgainButton jobId={jobId} payload={request?.payload} />}
          </Group>
        )}
      </Group>
      {!here && (
        <Alert color="yellow" mb="md">
          <Group justify="space-between">
            <Text size="sm">
              It belongs to another project, <Data>{projectId}</Data>.
            </Text>
            <Button size="xs" variant="default" onClick={() => chooseProject(projectId)}>
              Switch to it
            </Button>
          </Group>
        </Alert>
      )}
    </>
  )
}

function CancelButton({ request }: { request: CronRunRequest }) {
  const [busy, setBusy] = useState(false)
  const asked = request.cancelRequestedAt !== undefined
  const cancel = async () => {
    setBusy(true)
    await cancelRequest(request.id)
    setBusy(false)
  }
  return (
    <Button
      color="red"
      variant="light"
      size="sm"
      leftSection={<Icon name="cancel" size={14} />}
      loading={busy}
      disabled={asked}
      onClick={() => void cancel()}
    >
      {asked ? 'Cancel asked for' : 'Cancel'}
    </Button>
  )
}

function AgainButton({ jobId, payload }: { jobId: string; payload: unknown }) {
  const [busy, setBusy] = useState(false)
  const again = async () => {
    setBusy(true)
    const queued = await runJob(jobId, payload === undefined ? {} : { payload })
    setBusy(false)
    if (queued.ok && queued.requestId) navigate(to.request(queued.requestId))
  }
  return (
    <Button size="sm" variant="light" leftSection={<Icon name="again" size={14} />} loading={busy} onClick={() => void again()}>
      Run again
    </Button>
  )
}
