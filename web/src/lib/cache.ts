// What was read, kept in step with what Realtime tells. An answer may be older than a change that came while it was under
// way, so every reading is corrected by the changes since it began; and what can only be read is read again after a change,
// also when it was just being read.

import { type Query, QueryClient, type QueryFilters } from '@tanstack/react-query'
import { RECENT, STRIP } from './api'
import { ApiError } from './errors'
import { applyAgent, applyJobs, applyOne, applyOpenRequest, applyRecentRequest, applyRunningRun, applyStrip, each } from './patch'
import type { ProjectChange } from './realtime'
import type { CronAgent, CronMirrorJob, CronRun, CronRunRequest, RecentRun } from './rows'
import { refreshSession, session } from './supabase'

/** Longer than any answer may take. */
const REMEMBER_MS = 30_000
/** Lists of runs are filtered and paged by the server: they are read again, at most so often. */
const RUNS_MS = 1000

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // What was read last stays, marked; asking goes on by the interval.
      retry: (failures, error) => failures < 2 && (!(error instanceof ApiError) || error.kind === 'unreachable'),
      retryDelay: (attempt) => 500 * 2 ** attempt,
      networkMode: 'always',
    },
  },
})
queryClient.getQueryCache().subscribe((event) => {
  if (event.type !== 'updated') return
  const { action, query } = event
  if (action.type === 'error') renew(action.error)
  const answered = action.type === 'error' || action.type === 'success'
  if (answered && overtaken.delete(query)) setTimeout(() => readAgain({ queryKey: query.queryKey, exact: true }))
})

function renew(error: unknown): void {
  if (error instanceof ApiError && error.kind === 'session' && session.get().kind === 'in') void refreshSession()
}

// ── changes and answers that cross ──────────────────────────────────────────

/** Changes of the last seconds. */
let recent: { at: number; change: ProjectChange }[] = []

/** At once when it comes, though it may be put in a moment later. */
export function remember(change: ProjectChange): void {
  recent.push({ at: performance.now(), change })
}

/** Of another project or person. */
export function forgetChanges(): void {
  recent = []
}

/** Read, then put in what has changed since the reading began. */
export async function current<T>(read: () => Promise<T>, apply: (data: T, changes: ProjectChange[]) => T): Promise<T> {
  const began = performance.now()
  const data = await read()
  const since = recent.flatMap(({ at, change }) => (at >= began ? [change] : []))
  return apply(data, since)
}

/** Being read when told to be read again: their answers may not know yet why. */
const overtaken = new WeakSet<Query>()

/** Read these again. What is under way is not begun anew (under many changes it would never end), but read once more. */
export function readAgain(filters: QueryFilters = {}): void {
  for (const query of queryClient.getQueryCache().findAll({ ...filters, fetchStatus: 'fetching' })) overtaken.add(query)
  void queryClient.invalidateQueries(filters, { cancelRefetch: false })
}

/** Put changes of a project into all that was read of it. */
export function take(projectId: string, changes: ProjectChange[]): void {
  const now = performance.now()
  recent = recent.filter(({ at }) => now - at < REMEMBER_MS)
  const put = <T>(key: unknown[], update: (data: T) => T) =>
    queryClient.setQueryData<T>(key, (data) => (data === undefined ? undefined : update(data)))
  put<CronMirrorJob[]>(['jobs', projectId], (data) => applyJobs(data, changes))
  put<CronRunRequest[]>(['requests', projectId], (data) => each(applyRecentRequest(RECENT))(data, changes))
  put<CronRunRequest[]>(['open', projectId], (data) => each(applyOpenRequest)(data, changes))
  put<CronRun[]>(['running', projectId], (data) => each(applyRunningRun)(data, changes))
  put<CronAgent[]>(['agents', projectId], (data) => each(applyAgent)(data, changes))
  for (const change of changes) {
    if (!change.row) continue
    const { jobId, requestId } = change.row as { jobId: string; requestId?: string }
    if (change.table === 'cron_run_requests') {
      put(['request', change.id], (data: CronRunRequest | null) => applyOne<CronRunRequest>(change.table, change.id)(data, change))
      readAgain({ queryKey: ['requests', projectId, jobId] })
    } else if (change.table === 'cron_runs') {
      put(['run', change.id], (data: CronRun | null) => applyOne<CronRun>(change.table, change.id)(data, change))
      put<RecentRun[]>(['strip', projectId, jobId], (data) => applyStrip(jobId, STRIP)(data, change))
      if (requestId) readAgain({ queryKey: ['attempts', requestId] })
    }
  }
  if (changes.some((change) => change.table === 'cron_runs')) readRunsAgain(projectId)
  takeNotices(projectId, changes)
}

/** Of these there are few: they are read again. Connections tell nothing by themselves, but a notice goes with each change. */
function takeNotices(projectId: string, changes: ProjectChange[]): void {
  const notices = changes.filter((change) => change.table === 'cron_notifications')
  const signIns = changes.some((change) => change.table === 'cron_connection_requests')
  const connected = notices.some(({ row }) => String(row?.type).startsWith('integration_'))
  if (notices.length) for (const name of ['unread', 'notifications']) readAgain({ queryKey: [name, projectId] })
  if (signIns) readAgain({ queryKey: ['reconnects', projectId] })
  if (signIns || connected) readAgain({ queryKey: ['connections', projectId] })
}

// biome-ignore lint/correctness/noUnusedVariables: `??=` reads it
let runsTimer: ReturnType<typeof setTimeout> | undefined
function readRunsAgain(projectId: string): void {
  runsTimer ??= setTimeout(() => {
    runsTimer = undefined
    readAgain({ queryKey: ['runs', projectId] })
  }, RUNS_MS)
}
