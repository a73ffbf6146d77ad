// The output of one run for as long as a page shows it.

import { useEffect, useMemo, useRef, useState } from 'react'
import { type CronRun, getRun, getRunLogs, getRunRequest } from '../lib/api'
import { follow } from './follow'
import { Output, type Report } from './output'

const PAGE = 500

/** `reached`: whether the last reading was answered; what is shown stays while it is not. */
export function useOutput(run: CronRun): { output: Output; reached: boolean } {
  const over = run.status !== 'running'
  // A late report may know better than `lost`: then all of it is read anew.
  const life = `${run.id} ${run.status === 'lost'}`
  // biome-ignore lint/correctness/useExhaustiveDependencies: another life is another output
  const output = useMemo(() => new Output(), [life])
  const [reached, setReached] = useState(true)
  const { id, requestId } = run
  const ended = useRef(over)
  ended.current = over
  // biome-ignore lint/correctness/useExhaustiveDependencies: begins anew when the run ends, so that nobody waits for the next second
  useEffect(() => {
    const stop = new AbortController()
    void follow(
      output,
      {
        read: async (after) => {
          const pieces = await getRunLogs(id, after, PAGE)
          return { pieces, full: pieces.length === PAGE }
        },
        over: () => ended.current,
        report: () => stored(id, requestId),
        wait: (ms, signal) => new Promise((resolve) => onTimeOrAbort(ms, signal, resolve)),
        now: () => performance.now(),
        reached: setReached,
      },
      stop.signal,
    )
    return () => stop.abort()
  }, [output, id, requestId, over])
  return { output, reached }
}

/** What reports hold: each stream where this run ended its request, else the end of both. */
async function stored(runId: string, requestId: string | undefined): Promise<Report> {
  const [run, request] = await Promise.all([getRun(runId), requestId ? getRunRequest(requestId) : undefined])
  const result = request?.result
  const own = result?.run_id === runId && typeof result.stdout_tail === 'string'
  return { output: run?.output, ...(own && { stdout: result.stdout_tail, stderr: result.stderr_tail ?? '' }) }
}

function onTimeOrAbort(ms: number, signal: AbortSignal, done: () => void): void {
  const timer = setTimeout(done, ms)
  signal.addEventListener('abort', () => {
    clearTimeout(timer)
    done()
  })
}
