// Keeps what TanStack Query has cached in step with the project: one Realtime channel whose changes are put into the
// caches, and polling every 10 s for as long as it is down.

import { QueryClient, useQuery } from '@tanstack/react-query'
import { useEffect } from 'react'
import * as api from './api'
import { ApiError } from './errors'
import { applyAgent, applyJobs, applyOpenRequest, applyRecentRequest, applyRunningRun, applyStrip, keepFinal } from './patch'
import { type ProjectChange, type RealtimeState, subscribeToProjectRealtime } from './realtime'
import type { CronAgent, CronMirrorJob, CronRun, CronRunRequest, RecentRun } from './rows'
import { store, useValue } from './store'
import { stripOf } from './strips'
import { currentProject, refreshSession, session } from './supabase'

/** How many requests the Jobs page lists. */
export const RECENT = 20
export const POLL_MS = 10_000
/** While Realtime is live: it may skip changes under load, and says nothing about it. */
const SAFETY_MS = 60_000
/** Changes are put in together: a moment after the first, or longer while they come in hundreds. */
const BATCH_MS = 16
const BUSY_BATCH_MS = 200
const BUSY = 20
const REMEMBER_MS = 30_000

export const live = store<{ state: RealtimeState; since: number }>({ state: 'connecting', since: Date.now() })

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
  if (event.type !== 'updated' || event.action.type !== 'error') return
  const { error } = event.action as { error: unknown }
  if (error instanceof ApiError && error.kind === 'session' && session.get().kind === 'in') void refreshSession()
})

// ── changes into caches ─────────────────────────────────────────────────────

/** Changes of the last seconds: an answer that was under way while one came is corrected by it. */
let recent: { at: number; change: ProjectChange }[] = []

type Apply<T> = (data: T, change: ProjectChange) => T
type ApplyAll<T> = (data: T, changes: ProjectChange[]) => T

const each =
  <T>(apply: Apply<T>): ApplyAll<T> =>
  (data, changes) =>
    changes.reduce(apply, data)

/** Read, then put in what has changed since the reading began. */
async function current<T>(read: () => Promise<T>, apply: ApplyAll<T>): Promise<T> {
  const began = performance.now()
  const data = await read()
  const since = recent.flatMap(({ at, change }) => (at >= began ? [change] : []))
  return apply(data, since)
}

const LISTS = {
  requests: each(applyRecentRequest(RECENT)),
  open: each(applyOpenRequest),
  running: each(applyRunningRun),
  agents: each(applyAgent),
}

function patch(projectId: string, changes: ProjectChange[]): void {
  const put = <T>(key: unknown[], update: (data: T) => T) => queryClient.setQueryData<T>(key, (data) => data && update(data))
  put<CronMirrorJob[]>(['jobs', projectId], (data) => applyJobs(data, changes))
  put<CronRunRequest[]>(['requests', projectId], (data) => LISTS.requests(data, changes))
  put<CronRunRequest[]>(['open', projectId], (data) => LISTS.open(data, changes))
  put<CronRun[]>(['running', projectId], (data) => LISTS.running(data, changes))
  put<CronAgent[]>(['agents', projectId], (data) => LISTS.agents(data, changes))
  for (const change of changes) {
    if (!change.row) continue
    if (change.table === 'cron_run_requests') {
      const request = change.row as unknown as CronRunRequest
      put<CronRunRequest>(['request', change.id], (data) => keepFinal(data, request))
      void queryClient.invalidateQueries({ queryKey: ['requests', projectId, request.jobId] })
    } else if (change.table === 'cron_runs') {
      const run = change.row as unknown as CronRun
      put<CronRun>(['run', change.id], (data) => keepFinal(data, { ...data, ...run }))
      put<RecentRun[]>(['strip', projectId, run.jobId], (data) => applyStrip(data, change, api.STRIP))
      if (run.requestId) void queryClient.invalidateQueries({ queryKey: ['attempts', run.requestId] })
    }
  }
  if (changes.some((change) => change.table === 'cron_runs')) readRunsAgain(projectId)
}

// biome-ignore lint/correctness/noUnusedVariables: `??=` reads it
let runsTimer: ReturnType<typeof setTimeout> | undefined
/** Lists of runs are filtered and paged by the server: they are read again, at most once a second. */
function readRunsAgain(projectId: string): void {
  runsTimer ??= setTimeout(() => {
    runsTimer = undefined
    void queryClient.invalidateQueries({ queryKey: ['runs', projectId] })
  }, 1000)
}

/** Follow the current project for as long as the page shows it. */
export function useProjectRealtime(projectId: string, userId: string | undefined): void {
  // biome-ignore lint/correctness/useExhaustiveDependencies: another person is another subscription
  useEffect(() => {
    let waiting: ProjectChange[] = []
    let timer: ReturnType<typeof setTimeout> | undefined
    let busy = false
    const put = () => {
      const batch = waiting
      timer = undefined
      waiting = []
      busy = batch.length > BUSY
      const now = performance.now()
      recent = recent.filter((each) => now - each.at < REMEMBER_MS)
      patch(projectId, batch)
    }
    const onChange = (change: ProjectChange) => {
      recent.push({ at: performance.now(), change })
      waiting.push(change)
      // Many come at once when a mirror is synced; each alone would render 5,000 rows anew.
      timer ??= setTimeout(put, busy ? BUSY_BATCH_MS : BATCH_MS)
    }
    const onState = (state: RealtimeState) => {
      if (live.get().state !== state) live.set({ state, since: Date.now() })
      if (state === 'live') void queryClient.invalidateQueries()
    }
    const end = subscribeToProjectRealtime(projectId, onChange, onState)
    return () => {
      end()
      clearTimeout(timer)
      recent = []
    }
  }, [projectId, userId])
}

// ── what pages read ─────────────────────────────────────────────────────────

/** The current project; pages are only shown when there is one. */
export function useProjectId(): string {
  return useValue(currentProject) ?? ''
}

/** How often to read although Realtime would tell: `slow` while it is live, every 10 s while it is not. */
export function useInterval(slow = SAFETY_MS): number {
  return useValue(live).state === 'live' ? slow : POLL_MS
}

export function useJobs() {
  const projectId = useProjectId()
  return useQuery({
    queryKey: ['jobs', projectId],
    queryFn: () => current(api.getCronJobs, applyJobs),
    refetchInterval: useInterval(5 * SAFETY_MS),
    staleTime: SAFETY_MS,
  })
}

/** The last runs of a job. Rows that ask at about the same time are answered by one call; not while they scroll past. */
export function useStrip(jobId: string, scrolling: boolean) {
  const projectId = useProjectId()
  return useQuery({
    queryKey: ['strip', projectId, jobId],
    queryFn: ({ signal }) => stripOf(jobId, signal),
    staleTime: 5 * SAFETY_MS,
    retry: false,
    enabled: !scrolling,
  })
}

/** The newest requests of the project. */
export function useRecentRequests() {
  const projectId = useProjectId()
  return useQuery({
    queryKey: ['requests', projectId],
    queryFn: () => current(() => api.getCronRunRequests(RECENT), LISTS.requests),
    refetchInterval: useInterval(),
  })
}

/** Requests that wait or run. */
export function useOpenRequests() {
  const projectId = useProjectId()
  return useQuery({
    queryKey: ['open', projectId],
    queryFn: () => current(api.getOpenRequests, LISTS.open),
    refetchInterval: useInterval(),
  })
}

export function useRunningRuns() {
  const projectId = useProjectId()
  return useQuery({
    queryKey: ['running', projectId],
    queryFn: () => current(api.getRunningRuns, LISTS.running),
    refetchInterval: useInterval(),
  })
}

export function useAgents() {
  const projectId = useProjectId()
  return useQuery({
    queryKey: ['agents', projectId],
    queryFn: () => current(api.getAgents, LISTS.agents),
    refetchInterval: useInterval(),
  })
}

export function useBeats() {
  const projectId = useProjectId()
  return useQuery({ queryKey: ['beats', projectId], queryFn: api.getAgentBeats, refetchInterval: POLL_MS })
}

/** The projects this person may read. Not published: a pause by somebody else shows within half a minute. */
export function useProjects(enabled = true) {
  const who = useValue(session)
  return useQuery({
    queryKey: ['projects', who.kind === 'in' ? who.userId : ''],
    queryFn: api.getProjects,
    refetchInterval: 30_000,
    enabled: enabled && who.kind !== 'loading',
  })
}

export function useProject() {
  const projectId = useProjectId()
  return useProjects().data?.find((each) => each.projectId === projectId)
}

/** One request, kept current. */
export function useRunRequest(requestId: string) {
  return useQuery({
    queryKey: ['request', requestId],
    queryFn: async () => (await api.getRunRequest(requestId)) ?? null,
    refetchInterval: useInterval(),
  })
}

/** One run with its output, kept current. */
export function useRun(runId: string) {
  return useQuery({
    queryKey: ['run', runId],
    queryFn: async () => (await api.getRun(runId)) ?? null,
    refetchInterval: useInterval(),
  })
}
