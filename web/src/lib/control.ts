// The Control API: optional and secondary, an agent that is reachable from here directly. Without it (the usual case), or
// when it does not answer, everything goes through Supabase.

import type { Queued } from './api'
import type { CronMirrorJob } from './rows'
import { store } from './store'
import { configuration } from './supabase'

export type ControlState = 'unset' | 'unknown' | 'reachable' | 'unreachable'

const TIMEOUT_MS = 1500
export const controlState = store<ControlState>('unset')

async function ask(path: string, init: RequestInit = {}): Promise<unknown> {
  const base = configuration().controlUrl
  if (!base) return undefined
  try {
    const answer = await fetch(base + path, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) })
    controlState.set('reachable')
    return answer.ok ? await answer.json() : undefined
  } catch {
    controlState.set('unreachable')
    return undefined
  }
}

export const controlApi = {
  /** Look whether it is there; sets `controlState`. */
  async check(): Promise<void> {
    controlState.set(configuration().controlUrl ? 'unknown' : 'unset')
    await ask('/healthz')
  },

  /** Its jobs; undefined when it can't be asked. */
  async getJobs(projectId: string): Promise<CronMirrorJob[] | undefined> {
    const found = (await ask(`/v1/projects/${encodeURIComponent(projectId)}/jobs`)) as { jobs?: CronMirrorJob[] } | undefined
    return found?.jobs
  },

  /** Run a job there; undefined when it is not reachable. Once asked, it is never queued besides: that could run it twice. */
  async runJob(projectId: string, jobId: string, payload: unknown): Promise<Queued | undefined> {
    if ((await ask('/healthz')) === undefined) return undefined
    const path = `/v1/projects/${encodeURIComponent(projectId)}/jobs/${encodeURIComponent(jobId)}/run`
    const headers = { 'content-type': 'application/json' }
    const answer = await ask(path, { method: 'POST', headers, body: JSON.stringify({ payload }) })
    return (
      (answer as Queued | undefined) ?? {
        ok: false,
        error: 'The Control API did not say whether it runs. Look at the job before you try again.',
      }
    )
  },
}
