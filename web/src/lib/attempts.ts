// The attempts of a request, kept current by `live.ts` (every change of a run of it asks anew).

import { useQuery } from '@tanstack/react-query'
import { type CronRun, getAttempts } from './api'
import { useInterval } from './live'

export function useAttempts(requestId: string | undefined) {
  const interval = useInterval()
  return useQuery({
    queryKey: ['attempts', requestId],
    queryFn: () => getAttempts(requestId ?? ''),
    enabled: requestId !== undefined,
    refetchInterval: interval,
  })
}

/** With what is known of one of them elsewhere, in order. */
export function withRun(attempts: readonly CronRun[], run: CronRun): CronRun[] {
  return [...attempts.filter((each) => each.id !== run.id), run].toSorted((a, b) => a.attempt - b.attempt)
}
