import { Alert, Group } from '@mantine/core'
import { exactTime } from '../lib/format'
import { live, useAgents, useProject } from '../lib/live'
import { type CronProject, mayOperate } from '../lib/rows'
import { useValue } from '../lib/store'
import { serverNow } from '../lib/supabase'
import { useAgentWatch } from './agentPresence'
import { PauseControl } from './PauseControl'
import { useNow } from './Time'

/** A short interruption is no news. */
const CALM_MS = 6000

export function isPaused(project: CronProject | undefined): boolean {
  return Boolean(project?.pausedMode && (!project.pausedUntil || new Date(project.pausedUntil).getTime() > serverNow()))
}

/** What concerns the whole project, above every page. */
export function ProjectNotices() {
  const project = useProject()
  useAgentWatch()
  useNow()
  const { state, since } = useValue(live)
  // While nothing can be read at all the lists say so.
  const reached = !useAgents().isError
  return (
    <>
      {project && isPaused(project) && (
        <Alert color="orange" mb="md" title="This project is paused" role="status">
          <Group justify="space-between">
            <span>
              {project.pausedMode === 'all' ? 'Nothing runs, requests wait.' : 'Schedules rest; requests are served.'}{' '}
              {project.pausedUntil ? `Until ${exactTime(project.pausedUntil)}.` : 'Until somebody resumes it.'}
            </span>
            {mayOperate(project) && <PauseControl paused size="compact-sm" />}
          </Group>
        </Alert>
      )}
      {reached && state === 'polling' && Date.now() - since > CALM_MS && (
        <Alert color="yellow" mb="md" role="status">
          Live updates are interrupted; this page reads every 10 s until they are back.
        </Alert>
      )}
    </>
  )
}
