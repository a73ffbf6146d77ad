// The Control API: optional and secondary, an agent that is reachable from here directly (docs/control-api.md). Without it
// (the usual case), or when it does not answer, everything goes through Supabase.

import type { Queued } from './api'
import { urlProblem } from './configuration'
import type { CronMirrorJob } from './rows'
import { store } from './store'
import { configuration, supabase } from './supabase'

/** `refused`: its address is one that a token must not be sent to. */
export type ControlState = 'unset' | 'refused' | 'unknown' | 'reachable' | 'unreachable'

const TIMEOUT_MS = 1500
/** A run is begun, not waited for; but the machine may be busy. */
const RUN_TIMEOUT_MS = 10_000
/** One that did not answer is left alone for so long: Run is not to wait for it each time. */
const REST_MS = 30_000
/** Said before anything is begun: not known here, not now, not by this token. */
const CERTAINLY_NOT = new Set([401, 404, 405, 501, 503])

export const controlState = store<ControlState>('unset')
let restsUntil = 0

interface Said {
  status: number
  body: Record<string, unknown>
}

/** Undefined: no answer, or one that is not JSON. */
async function ask(base: string, path: string, timeout: number, init: RequestInit = {}): Promise<Said | undefined> {
  try {
    const careful = { cache: 'no-store', credentials: 'omit', redirect: 'error', referrerPolicy: 'no-referrer' } as const
    const answer = await fetch(base + path, { ...careful, ...init, signal: AbortSignal.timeout(timeout) })
    const body: unknown = await answer.json()
    return typeof body === 'object' && body !== null ? { status: answer.status, body: body as Said['body'] } : undefined
  } catch {
    return undefined
  }
}

/** Its address when it is there: it answers, and it is one of ours. Sets `controlState`. */
async function reach(): Promise<string | undefined> {
  const base = configuration().controlUrl
  if (!base || urlProblem(base)) {
    controlState.set(base ? 'refused' : 'unset')
    return undefined
  }
  if (Date.now() < restsUntil) return undefined
  const told = await ask(base, '/healthz', TIMEOUT_MS)
  const there = told?.status === 200 && told.body.service === 'cronmirror'
  controlState.set(there ? 'reachable' : 'unreachable')
  restsUntil = there ? 0 : Date.now() + REST_MS
  return there ? base : undefined
}

/** As whom: the signed-in person's token, which the agent shows to Supabase. */
async function headers(): Promise<Record<string, string>> {
  const token = (await supabase().auth.getSession()).data.session?.access_token
  return token ? { authorization: `Bearer ${token}` } : {}
}

const pathOf = (projectId: string, more: string) => `/v1/projects/${encodeURIComponent(projectId)}${more}`

export const controlApi = {
  /** Look whether it is there, also when it was not a moment ago; sets `controlState`. */
  async check(): Promise<void> {
    if (configuration().controlUrl && controlState.get() === 'unset') controlState.set('unknown')
    restsUntil = 0
    await reach()
  },

  /** The jobs of its agent; undefined when it can't be asked. */
  async getJobs(projectId: string): Promise<CronMirrorJob[] | undefined> {
    const base = await reach()
    if (!base) return undefined
    const said = await ask(base, pathOf(projectId, '/jobs'), TIMEOUT_MS, { headers: await headers() })
    if (said?.status !== 200 || !Array.isArray(said.body.jobs)) return undefined
    return said.body.jobs.flatMap((job: unknown) => toJob(job, projectId) ?? [])
  },

  /**
   * Run a job there; undefined when it certainly does not run there, so that it may be queued. `id` names the run: a lost
   * answer is asked for again, and begins nothing twice. One that may have been heard is never queued besides.
   */
  async runJob(projectId: string, jobId: string, id: string, payload: unknown): Promise<Queued | undefined> {
    const base = await reach()
    if (!base) return undefined
    const path = pathOf(projectId, `/jobs/${encodeURIComponent(jobId)}/run`)
    const asked = { headers: { ...(await headers()), 'content-type': 'application/json' }, body: JSON.stringify({ id, payload }) }
    const begin = () => ask(base, path, RUN_TIMEOUT_MS, { method: 'POST', ...asked })
    let said = await begin()
    if (!said || said.status === 500) said = await begin()
    if (said && CERTAINLY_NOT.has(said.status)) return undefined
    if (said?.status === 202) return { ok: true, direct: true, runId: id, agentIds: [text(said.body.agentId) ?? 'the agent'] }
    const refused = said && said.status < 500 ? text(said.body.error) : undefined
    return { ok: false, error: refused ?? 'The Control API did not say whether it runs. Look at the job before you try again.' }
  },
}

const text = (given: unknown) => (typeof given === 'string' && given ? given : undefined)

/** What every job has to have; whatever else it says is as the mirror has it. */
function toJob(given: unknown, projectId: string): CronMirrorJob | undefined {
  const job = given as Partial<CronMirrorJob> | null
  if (!job || !text(job.jobId)) return undefined
  const jobId = String(job.jobId)
  const list = Array.isArray(job.agentIds) ? job.agentIds.map(String) : []
  const told = { ...job, jobId, projectId, name: text(job.name) ?? jobId, agentIds: list, enabled: job.enabled !== false }
  const updatedAt = text(job.updatedAt) ?? new Date().toISOString()
  return { ...told, id: `control:${jobId}`, updatedAt, consecutiveFailures: Number(job.consecutiveFailures) || 0 }
}

/** The mirror, corrected by what the agent itself says of its jobs; one that is not mirrored yet comes last. */
export function withControl(mirrored: CronMirrorJob[], told: CronMirrorJob[]): CronMirrorJob[] {
  const byJob = new Map(told.map((job) => [job.jobId, job]))
  const known = mirrored.map((job) => {
    const newer = byJob.get(job.jobId)
    byJob.delete(job.jobId)
    return newer ? { ...job, ...newer, id: job.id, agentIds: job.agentIds } : job
  })
  return [...known, ...byJob.values()]
}
