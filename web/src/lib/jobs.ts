// The list of jobs: what each is doing, which are shown, in which order. Pure.

import type { CronMirrorJob, CronRun, CronRunRequest, RecentRun } from './rows'

/** What a job is doing now. */
export interface JobState {
  /** `queued`, `running`, `cancelling`, else how it ended last (`ok`, `error`), else undefined. */
  status?: string
  /** The request that can be cancelled: the running one, else the one that waits longest. */
  request?: CronRunRequest
  /** Since when it runs. */
  since?: string
  queued: number
}

const IDLE: JobState = { queued: 0 }
/** The same object for the same state, so that rows that rest are not drawn anew. */
const resting = new Map<string | undefined, JobState>()

/** By job id, only those that are doing something. */
export function activeStates(open: CronRunRequest[] = [], running: CronRun[] = []): Map<string, JobState> {
  const states = new Map<string, JobState>()
  for (const request of open) {
    const known = states.get(request.jobId) ?? IDLE
    if (request.status === 'running') {
      states.set(request.jobId, {
        ...known,
        status: request.cancelRequestedAt ? 'cancelling' : 'running',
        request,
        since: request.pickedUpAt,
      })
    } else {
      states.set(request.jobId, {
        status: known.status ?? 'queued',
        request: known.request ?? request,
        queued: known.queued + 1,
      })
    }
  }
  for (const run of running) {
    const known = states.get(run.jobId) ?? IDLE
    if (known.status !== 'running' && known.status !== 'cancelling')
      states.set(run.jobId, { ...known, status: 'running', since: run.startedAt })
  }
  return states
}

export function stateOf(job: CronMirrorJob, active: Map<string, JobState>): JobState {
  const doing = active.get(job.jobId)
  if (doing?.status) return doing
  let rest = resting.get(job.lastStatus)
  if (!rest) {
    rest = { queued: 0, status: job.lastStatus }
    resting.set(job.lastStatus, rest)
  }
  return rest
}

export interface JobFilters {
  search?: string
  enabled?: string
  status?: string
}

/** `search` in name, id and tags (every word must be found); `enabled`: yes, no; `status`: see `stateOf`, or `never`. */
export function filterJobs(jobs: CronMirrorJob[], filters: JobFilters, active: Map<string, JobState>): CronMirrorJob[] {
  const words = (filters.search ?? '').toLowerCase().split(/\s+/).filter(Boolean)
  if (!words.length && !filters.enabled && !filters.status) return jobs
  return jobs.filter((job) => {
    if (filters.enabled && job.enabled !== (filters.enabled === 'yes')) return false
    if (filters.status && (stateOf(job, active).status ?? 'never') !== filters.status) return false
    if (!words.length) return true
    const text = `${job.name}\n${job.jobId}\n${job.tags?.join('\n') ?? ''}`.toLowerCase()
    return words.every((word) => text.includes(word))
  })
}

/** In this order when sorted by status: what needs a look first. */
const RANK = ['error', 'cancelling', 'running', 'queued', 'ok']

export function statusRank(state: JobState): number {
  const rank = RANK.indexOf(state.status ?? '')
  return rank < 0 ? RANK.length : rank
}

/**
 * When it runs next, and whether that is past and did not come true. The mirror is up to a minute behind: a period that
 * has passed meanwhile is added; of other schedules it is "now" for that long.
 */
export function nextRun(job: CronMirrorJob, now: number): { at?: string; overdue: boolean } {
  if (!job.enabled || !job.nextRunAt) return { overdue: false }
  const late = now - new Date(job.nextRunAt).getTime()
  const period = job.scheduleKind === 'every' ? Number(job.scheduleExpr) : 0
  if (late <= 0) return { at: job.nextRunAt, overdue: false }
  if (late > MIRROR_LAG_MS + period) return { at: job.nextRunAt, overdue: true }
  return { at: new Date(period > 0 ? now - late + Math.ceil(late / period) * period : now).toISOString(), overdue: false }
}

const MIRROR_LAG_MS = 120_000

/** How it really ended: the mirror knows `ok` and `error` alone, the newest run that took place says `timeout` or `cancelled`. */
export function lastEnd(status: string | undefined, runs: RecentRun[] = []): { status?: string; run?: RecentRun } {
  const run = runs.find((each) => each.status !== 'running' && each.status !== 'skipped' && each.status !== 'missed')
  return status === 'error' && run && run.status !== 'ok' ? { status: run.status, run } : { status, run }
}
