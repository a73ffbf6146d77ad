// One change put into one list: pure. A change may come late, after a reading that knows better, so nothing that has
// ended begins again. It may leave out long values that have not changed: what is known of the row stays under it.

import type { ProjectChange } from './realtime'
import { type CronAgent, type CronMirrorJob, type CronRun, type CronRunRequest, type RecentRun, runAt } from './rows'

const ENDED: ReadonlySet<string> = new Set(['done', 'error', 'ok', 'timeout', 'cancelled', 'skipped', 'missed'])

/** Nothing follows any more, as far as one can know: `lost` may still be corrected by the agent. */
export function hasEnded(row: { status: string }): boolean {
  return ENDED.has(row.status) || row.status === 'lost'
}

/** One change after the other. */
export const each =
  <T>(apply: (data: T, change: ProjectChange) => T) =>
  (data: T, changes: ProjectChange[]): T =>
    changes.reduce(apply, data)

/** The newer of two states of one row, by what can follow what. `lost` may still be corrected by the agent. */
export function keepFinal<T extends { status: string }>(known: T | undefined, next: T): T {
  return known && ENDED.has(known.status) && !ENDED.has(next.status) ? known : next
}

function replace<T extends { id: string }>(list: T[], change: ProjectChange, merge: (known: T | undefined, next: T) => T | undefined): T[] {
  const at = list.findIndex((each) => each.id === change.id)
  const next = change.row && merge(list[at], { ...list[at], ...(change.row as unknown as T) })
  if (at < 0) return next ? [...list, next] : list
  if (!next) return list.filter((_, index) => index !== at)
  return list.map((each, index) => (index === at ? next : each))
}

/** Many changes at once: a synced mirror may be thousands of rows. */
export function applyJobs(list: CronMirrorJob[], changes: ProjectChange[]): CronMirrorJob[] {
  const newest = new Map(changes.flatMap((change) => (change.table === 'cron_mirror' ? [[change.id, change.row]] : [])))
  if (!newest.size) return list
  const next: CronMirrorJob[] = []
  // One that was only heard of through the Control API is mirrored now.
  const mirrored = new Set([...newest.values()].flatMap((row) => row?.jobId ?? []))
  for (const job of list) {
    if (!newest.has(job.id) && mirrored.has(job.jobId)) continue
    const row = newest.has(job.id) ? newest.get(job.id) : job
    if (row === job) next.push(job)
    else if (row) next.push({ ...job, ...row })
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

/** One row, or null while there is none. */
export function applyOne<T extends { status: string }>(table: ProjectChange['table'], id: string) {
  return (known: T | null, change: ProjectChange): T | null => {
    if (change.table !== table || change.id !== id || !change.row) return known
    return keepFinal(known ?? undefined, { ...known, ...(change.row as unknown as T) })
  }
}

/** The last `limit` runs of a job, newest first. */
export function applyStrip(jobId: string, limit: number) {
  return (list: RecentRun[], change: ProjectChange): RecentRun[] => {
    const run = change.row as unknown as CronRun | undefined
    if (change.table !== 'cron_runs' || run?.jobId !== jobId) return list
    const { id, status, reason, trigger, durationMs } = run
    const next = replace(list, { ...change, row: { id, jobId, status, reason, trigger, at: runAt(run), durationMs } }, keepFinal)
    return next.toSorted((a, b) => b.at.localeCompare(a.at)).slice(0, limit)
  }
}
