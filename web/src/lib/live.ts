// Follows the current project: one Realtime channel whose changes go into the caches, and polling every 10 s for as long
// as it is down. What pages read of the project is asked for here.

import { useQuery } from '@tanstack/react-query'
import { useEffect } from 'react'
import * as api from './api'
import { current, forgetChanges, readAgain, remember, take } from './cache'
import { applyAgent, applyJobs, applyOne, applyOpenRequest, applyRecentRequest, applyRunningRun, applyStrip, each, hasEnded } from './patch'
import { type ProjectChange, type RealtimeState, subscribeToProjectRealtime } from './realtime'
import { type CronRun, type CronRunRequest, mayAdminister } from './rows'
import { isOpen } from './signIn'
import { store, useValue } from './store'
import { stripOf } from './strips'
import { currentProject, serverNow, session } from './supabase'

export const POLL_MS = 10_000
/** While Realtime is live: it delivers at most once, and says nothing about what it left out. */
const SAFETY_MS = 60_000
/** The same for rows that have not ended: a lost end would leave them running before somebody's eyes. */
const UNENDED_MS = 15_000
/** While a person waits before the page for the agent's next step. */
const SIGN_IN_MS = 3000
/** Changes are put in together: a moment after the first, or longer while they come in hundreds. */
const BATCH_MS = 16
const BUSY_BATCH_MS = 200
const BUSY = 20

export const live = store<{ state: RealtimeState; since: number }>({ state: 'connecting', since: Date.now() })

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
      take(projectId, batch)
    }
    const onChange = (change: ProjectChange) => {
      remember(change)
      waiting.push(change)
      // Many come at once when a mirror is synced; each alone would render 5,000 rows anew.
      timer ??= setTimeout(put, busy ? BUSY_BATCH_MS : BATCH_MS)
    }
    const onState = (state: RealtimeState) => {
      if (live.get().state !== state) live.set({ state, since: Date.now() })
      if (state === 'live') readAgain()
    }
    const end = subscribeToProjectRealtime(projectId, onChange, onState)
    return () => {
      end()
      clearTimeout(timer)
      forgetChanges()
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

/** The same, but more often while the data holds something that has not ended. */
function useIntervalUntil<T>(ended: (data: T) => boolean) {
  const interval = useInterval()
  return ({ state: { data } }: { state: { data: T | undefined } }) =>
    data !== undefined && !ended(data) ? Math.min(interval, UNENDED_MS) : interval
}

const allEnded = (rows: { status: string }[]) => rows.every(hasEnded)
const oneEnded = (row: { status: string } | null) => row === null || hasEnded(row)

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
    queryFn: ({ signal }) => current(() => stripOf(jobId, signal), each(applyStrip(jobId, api.STRIP))),
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
    queryFn: () => current(() => api.getCronRunRequests(api.RECENT), each(applyRecentRequest(api.RECENT))),
    refetchInterval: useIntervalUntil(allEnded),
  })
}

/** Requests that wait or run. */
export function useOpenRequests() {
  const projectId = useProjectId()
  return useQuery({
    queryKey: ['open', projectId],
    queryFn: () => current(api.getOpenRequests, each(applyOpenRequest)),
    refetchInterval: useIntervalUntil(allEnded),
  })
}

export function useRunningRuns() {
  const projectId = useProjectId()
  return useQuery({
    queryKey: ['running', projectId],
    queryFn: () => current(api.getRunningRuns, each(applyRunningRun)),
    refetchInterval: useIntervalUntil(allEnded),
  })
}

export function useAgents() {
  const projectId = useProjectId()
  return useQuery({
    queryKey: ['agents', projectId],
    queryFn: () => current(api.getAgents, each(applyAgent)),
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
    queryFn: () =>
      current(async () => (await api.getRunRequest(requestId)) ?? null, each(applyOne<CronRunRequest>('cron_run_requests', requestId))),
    refetchInterval: useIntervalUntil(oneEnded),
  })
}

/** One run with its output, kept current. */
export function useRun(runId: string) {
  return useQuery({
    queryKey: ['run', runId],
    queryFn: () => current(async () => (await api.getRun(runId)) ?? null, each(applyOne<CronRun>('cron_runs', runId))),
    refetchInterval: useIntervalUntil(oneEnded),
  })
}

/** How many notices nobody has read. */
export function useUnread() {
  const projectId = useProjectId()
  return useQuery({ queryKey: ['unread', projectId], queryFn: api.countUnread, refetchInterval: useInterval() })
}

/** The newest notices. */
export function useNotifications(limit: number, unreadOnly: boolean) {
  const projectId = useProjectId()
  return useQuery({
    queryKey: ['notifications', projectId, unreadOnly, limit],
    queryFn: () => api.getNotifications(limit, unreadOnly),
    refetchInterval: useInterval(),
    // More of the same: what is there stays until it comes.
    placeholderData: (before, query) => (query?.queryKey[1] === projectId && query.queryKey[2] === unreadOnly ? before : undefined),
  })
}

export function useSnoozes() {
  const projectId = useProjectId()
  return useQuery({ queryKey: ['snoozes', projectId], queryFn: api.getSnoozes, refetchInterval: SAFETY_MS })
}

/** OAuth connections, which only members may see. Not published: read again after what goes with their changes. */
export function useConnections() {
  const projectId = useProjectId()
  return useQuery({
    queryKey: ['connections', projectId],
    queryFn: api.getConnections,
    refetchInterval: useInterval(SAFETY_MS / 2),
    enabled: useProject()?.role !== undefined,
  })
}

/** The sign-ins that this admin began. */
export function useReconnects() {
  const projectId = useProjectId()
  const interval = useInterval()
  return useQuery({
    queryKey: ['reconnects', projectId],
    queryFn: api.getReconnects,
    refetchInterval: ({ state: { data } }) => (data?.some((each) => isOpen(each, serverNow())) ? SIGN_IN_MS : interval),
    enabled: mayAdminister(useProject()),
  })
}
