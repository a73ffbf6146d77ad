// Pressing Run, wherever the button is: one toast, one way to fail.

import { notifications } from '@mantine/notifications'
import { cancelRunRequest, type Queued, type RunOptions, runCronJob } from '../lib/api'
import { readAgain } from '../lib/cache'
import { explain } from '../lib/errors'
import { shorten, visible } from '../lib/format'

/** Ask for a run of the job and say so. */
export async function runJob(jobId: string, options: RunOptions = {}): Promise<Queued> {
  const queued = await runCronJob(jobId, options).catch((error: unknown): Queued => ({ ok: false, error: explain(error) }))
  if (queued.ok) {
    const agent = queued.agentIds?.length ? queued.agentIds.map((each) => shorten(visible(each), 60)).join(' or ') : 'the agent'
    if (queued.direct) notifications.show({ color: 'blue', message: `Started on ${agent}, directly.` })
    else notifications.show({ color: 'yellow', message: `Queued run request. Will execute when ${agent} picks it up.` })
    for (const key of ['requests', 'open', 'running']) readAgain({ queryKey: [key] })
  } else {
    failed('The run was not queued', queued.error ?? 'It is not known why.')
  }
  return queued
}

export async function cancelRequest(requestId: string): Promise<void> {
  try {
    await cancelRunRequest(requestId)
    notifications.show({ color: 'gray', message: 'Cancel asked for.' })
  } catch (error) {
    failed('Not cancelled', explain(error))
  }
  readAgain({ queryKey: ['open'] })
}

export function failed(title: string, message: string): void {
  notifications.show({ color: 'red', title, message: shorten(visible(message), 500), autoClose: 15_000 })
}
