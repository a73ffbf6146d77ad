// One change put into one list: pure. A change may come late, after a reading that knows better, so nothing that has
// ended begins again.

import type { ProjectChange } from './realtime'
import { type CronAgent, type CronMirrorJob, type CronRun, type CronRunRequest, type RecentRun, runAt } from './rows'

const ENDED: ReadonlySet<string> = new Set(['done', 'error', 'ok', 'timeout', 'cancelled', 'skipped', 'missed'])

/** The newer of two states of one row, by what can follow what. `lost` may still be corrected by the agent. */
export function keepFinal<T extends { status: string }>(known: T | undefined, next: T): T {
  return known && ENDED.has(known.status) && !ENDED.has(next.status) ? known : next
}

function replace<T extends { id: string }>(list: T[], change: ProjectChange, merge: (known: T | undefined, next: T) => T | undefined): T[] {
  const at = list.findIndex((each) => each.id === change.id)
  const next = change.row && merge(list[at], change.row as unknown as T)
  if (at < 0) return next ? [...list, next] : list
  if (!next) return list.filter((_, index) => index !== at)
  return list.map((each, index) => (index === at ? next : each))
}

/** Many changes at once: a synced mirror may be thousands of rows. */
export function applyJobs(list: CronMirrorJob[], changes: ProjectChange[]): CronMirrorJob[] {
  const newest = new Map(changes.flatMap((change) => (change.table === 'cron_mirror' ? [[change.id, change.row]] : [])))
  if (!newest.size) return list
  const next: CronMirrorJob[] = []
  for (const job of list) {
    const row = newest.has(job.id) ? newest.get(job.id) : job
    if (row) next.push(row as CronMirrorJob)
    newest.delete(job.id)
  }
  for (const row of newest.values()) if (row) next.push(row as unknown as CronMirrorJob)
  return next
}

export function applyAgent(list: CronAgent[], change: ProjectChange): CronAgent[] {
  if (change.table !== 'cron_agents') return list
  return replace(list, change, (_, next) => next)
}

/** The newest `limit` requests. */
export function applyRecentRequest(limit: number) {
  return (list: CronRunRequest[], change: ProjectChange): CronRunRequest[] => {
    if (change.table !== 'cron_run_requests') return list
    const next = replace(list, change, keepFinal)
    return next.length === list.length ? next : next.toSorted((a, b) => b.requestedAt.localeCompare(a.requestedAt)).slice(0, limit)
  }
}

/** Requests that wait or run, oldest first. */
export function applyOpenRequest(list: CronRunRequest[], change: ProjectChange): CronRunRequest[] {
  if (change.table !== 'cron_run_requests') return list
  return replace(list, change, (_, next) => (ENDED.has(next.status) ? undefined : next))
}

export function applyRunningRun(list: CronRun[], change: ProjectChange): CronRun[] {
  if (change.table !== 'cron_runs') return list
  return replace(list, change, (_, next) => (next.status === 'running' ? next : undefined))
}

/** The last `limit` runs of the job that this run is of, newest first. */
export function applyStrip(list: RecentRun[], change: ProjectChange, limit: number): RecentRun[] {
  if (change.table !== 'cron_runs' || !change.row) return list
  const run = change.row as unknown as CronRun
  const { id, jobId, status, reason, trigger, durationMs } = run
  const next = replace(list, { ...change, row: { id, jobId, status, reason, trigger, at: runAt(run), durationMs } }, keepFinal)
  return next.toSorted((a, b) => b.at.localeCompare(a.at)).slice(0, limit)
}
