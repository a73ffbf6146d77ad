// The runs of the last 24 h for the timeline: read for those jobs alone that are seen, a few at a time.

import { type UseQueryResult, useQueries } from '@tanstack/react-query'
import { useCallback, useEffect, useMemo, useRef } from 'react'
import { getRunsOfJobs } from './api'
import { readAgain } from './cache'
import { useInterval, useProjectId, useRunningRuns } from './live'
import type { CronRun } from './rows'
import { serverNow } from './supabase'

/** Jobs per question: their names fit into an address, their runs into a few pages. */
const CHUNK = 10
const WHILE_LIVE_MS = 20_000
export const DAY_MS = 86_400_000

export interface RecentRuns {
  byJob: ReadonlyMap<string, CronRun[]>
  pending: ReadonlySet<string>
  /** Jobs that ran so often that not every run was read. */
  cut: ReadonlySet<string>
  /** Something could not be read; what is shown of it may be old. */
  failed: boolean
}

/** Runs of the last 24 h of these jobs (all in one order, so that questions stay the same), running ones live. */
export function useRecentRuns(jobIds: string[], first: number, last: number): RecentRuns {
  const projectId = useProjectId()
  const interval = useInterval(WHILE_LIVE_MS)
  const [from, to] = [Math.floor(first / CHUNK), Math.floor(last / CHUNK) + 1]
  const seen = useMemo(() => chunksOf(jobIds).slice(from, to), [jobIds, from, to])
  const running = useRunningRuns().data
  useEndedRuns(running)
  // The same function as long as its answer could be no other: else every row would be drawn anew each second.
  const combine = useCallback((answers: Answer[]) => together(seen, answers, running ?? []), [seen, running])
  return useQueries({
    queries: seen.map((ids) => ({
      queryKey: ['timeline', projectId, ids],
      queryFn: () => getRunsOfJobs(ids, new Date(serverNow() - DAY_MS).toISOString()),
      refetchInterval: interval,
    })),
    combine,
  })
}

type Answer = UseQueryResult<Awaited<ReturnType<typeof getRunsOfJobs>>>

function together(seen: string[][], answers: Answer[], running: CronRun[]): RecentRuns {
  const byJob = new Map<string, CronRun[]>()
  const pending = new Set<string>()
  const cut = new Set<string>()
  answers.forEach(({ data }, index) => {
    const ids = seen[index] ?? []
    if (!data) for (const id of ids) pending.add(id)
    if (data?.cut) for (const id of ids) cut.add(id)
    for (const run of data?.runs ?? []) put(byJob, run)
  })
  for (const run of running) put(byJob, run)
  return { byJob, pending, cut, failed: answers.some(({ isError }) => isError) }
}

function chunksOf(ids: string[]): string[][] {
  return Array.from({ length: Math.ceil(ids.length / CHUNK) }, (_, index) => ids.slice(index * CHUNK, (index + 1) * CHUNK))
}

function put(byJob: Map<string, CronRun[]>, run: CronRun): void {
  const known = byJob.get(run.jobId)
  if (!known) byJob.set(run.jobId, [run])
  else if (!known.some(({ id }) => id === run.id)) known.push(run)
}

/** A run that goes on no more has ended somehow: its job is read again. */
function useEndedRuns(running: CronRun[] | undefined): void {
  const before = useRef<CronRun[]>([])
  useEffect(() => {
    if (!running) return
    const now = new Set(running.map(({ id }) => id))
    const ended = before.current.filter(({ id }) => !now.has(id)).map(({ jobId }) => jobId)
    before.current = running
    if (ended.length === 0) return
    const holds = (ids: unknown) => Array.isArray(ids) && ended.some((jobId) => ids.includes(jobId))
    readAgain({ predicate: ({ queryKey }) => queryKey[0] === 'timeline' && holds(queryKey[2]) })
  }, [running])
}
