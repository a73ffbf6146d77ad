// The runs of the last 24 h for the timeline: read for those jobs alone that are seen, a few at a time.

import { useQueries, useQueryClient } from '@tanstack/react-query'
import { useEffect, useMemo, useRef } from 'react'
import { getRunsOfJobs } from './api'
import { useInterval, useProjectId, useRunningRuns } from './live'
import type { CronRun } from './rows'

/** Jobs per question: their names fit into an address, their runs into a few pages. */
const CHUNK = 10
const WHILE_LIVE_MS = 20_000
export const DAY_MS = 86_400_000

export interface RecentRuns {
  byJob: ReadonlyMap<string, CronRun[]>
  pending: ReadonlySet<string>
  /** Jobs that ran so often that not every run was read. */
  cut: ReadonlySet<string>
  error: unknown
}

/** Runs of the last 24 h of these jobs (all in one order, so that questions stay the same), running ones live. */
export function useRecentRuns(jobIds: string[], first: number, last: number): RecentRuns {
  const projectId = useProjectId()
  const interval = useInterval(WHILE_LIVE_MS)
  const chunks = useMemo(() => chunksOf(jobIds), [jobIds])
  const seen = chunks.slice(Math.floor(first / CHUNK), Math.floor(last / CHUNK) + 1)
  const running = useRunningRuns().data
  useEndedRuns(running)
  const queries = useQueries({
    queries: seen.map((ids) => ({
      queryKey: ['timeline', projectId, ids],
      queryFn: () => getRunsOfJobs(ids, new Date(Date.now() - DAY_MS).toISOString()),
      refetchInterval: interval,
    })),
  })
  return useMemo(() => {
    const byJob = new Map<string, CronRun[]>()
    const pending = new Set<string>()
    const cut = new Set<string>()
    queries.forEach((query, index) => {
      const ids = seen[index] ?? []
      if (!query.data) for (const id of ids) pending.add(id)
      if (query.data?.cut) for (const id of ids) cut.add(id)
      for (const run of query.data?.runs ?? []) put(byJob, run)
    })
    for (const run of running ?? []) put(byJob, run)
    return { byJob, pending, cut, error: queries.find((query) => query.isError)?.error }
  }, [queries, seen, running])
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
  const client = useQueryClient()
  const before = useRef<CronRun[]>([])
  useEffect(() => {
    if (!running) return
    const now = new Set(running.map(({ id }) => id))
    const ended = before.current.filter(({ id }) => !now.has(id)).map(({ jobId }) => jobId)
    before.current = running
    if (ended.length === 0) return
    const holds = (ids: unknown) => Array.isArray(ids) && ended.some((jobId) => ids.includes(jobId))
    void client.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] === 'timeline' && holds(queryKey[2]) })
  }, [running, client])
}
