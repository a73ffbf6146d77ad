// The last runs of the jobs that are on the screen: asked for together, a moment after scrolling stops.

import { getRecentRuns } from './api'
import type { RecentRun } from './rows'

const MOMENT_MS = 80
/** What the server answers in one call. */
const MOST = 200

interface Asked {
  jobId: string
  signal: AbortSignal
  resolve: (runs: RecentRun[]) => void
  reject: (error: unknown) => void
}

let waiting: Asked[] = []
let timer: ReturnType<typeof setTimeout> | undefined

/** `signal`: of the row; one that was scrolled away meanwhile is not asked for. */
export function stripOf(jobId: string, signal: AbortSignal): Promise<RecentRun[]> {
  return new Promise((resolve, reject) => {
    waiting.push({ jobId, signal, resolve, reject })
    clearTimeout(timer)
    timer = setTimeout(() => void answer(), MOMENT_MS)
  })
}

async function answer(): Promise<void> {
  const asked = waiting.filter((each) => !each.signal.aborted)
  waiting = []
  for (let from = 0; from < asked.length; from += MOST) {
    const part = asked.slice(from, from + MOST)
    try {
      const byJob = Map.groupBy(await getRecentRuns(part.map((each) => each.jobId)), (run) => run.jobId)
      for (const each of part) each.resolve(byJob.get(each.jobId) ?? [])
    } catch (error) {
      for (const each of part) each.reject(error)
    }
  }
}
