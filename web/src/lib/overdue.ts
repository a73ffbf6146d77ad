// Rows that should have ended and have not: nobody may be there to end them but a page that looks at them.

import { useEffect } from 'react'
import { sweepProject } from './api'
import { isThere, type Presence } from './presence'
import type { CronRunRequest } from './rows'
import { serverNow } from './supabase'

const SWEEP_MS = 20_000

/** It waits past its end, or runs (`holder`) on an agent that is not heard of any more: the database decides. */
export function isOverdue(request: CronRunRequest, holder?: Presence): boolean {
  if (request.status === 'running') return holder !== undefined && !isThere(holder)
  if (request.status !== 'queued') return false
  return Boolean(request.cancelRequestedAt) || (request.expiresAt !== undefined && new Date(request.expiresAt).getTime() < serverNow())
}

/**
 * Asks for a sweep for as long as something is overdue. It takes place at most once per 10 s, however many pages ask; one
 * after the other without a gap of 45 s counts as watching, without which no agent is taken for gone.
 */
export function useSweep(overdue: boolean): void {
  useEffect(() => {
    if (!overdue) return
    const sweep = () => void sweepProject().catch(() => {})
    sweep()
    const timer = setInterval(sweep, SWEEP_MS)
    return () => clearInterval(timer)
  }, [overdue])
}
