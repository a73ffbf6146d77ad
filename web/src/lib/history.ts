// The history of runs as the address says it: `#/runs?status=error&job=backup&before=…`.

import type { RunFilters } from './api'
import type { RunStatus, RunTrigger } from './rows'

export const STATUSES: readonly RunStatus[] = ['running', 'ok', 'error', 'timeout', 'lost', 'cancelled', 'skipped', 'missed']
export const TRIGGERS: readonly RunTrigger[] = ['schedule', 'request', 'catch_up', 'startup']

export type HistoryFilters = RunFilters & { statuses: RunStatus[]; triggers: RunTrigger[] }

/** What the query of the hash asks for; what it cannot mean is left out. */
export function filtersOf(query: URLSearchParams): HistoryFilters {
  const several = <T extends string>(key: string, known: readonly T[]) => known.filter((each) => query.get(key)?.split(',').includes(each))
  const instant = (key: string) => (Number.isNaN(Date.parse(query.get(key) ?? '')) ? undefined : (query.get(key) ?? undefined))
  return {
    statuses: several('status', STATUSES),
    triggers: several('trigger', TRIGGERS),
    jobId: query.get('job') || undefined,
    agentId: query.get('agent') || undefined,
    since: instant('from'),
    until: instant('to'),
  }
}

/** Whether anything is filtered out. */
export function narrowed(filters: HistoryFilters): boolean {
  return Object.values(filters).some((each) => each !== undefined && each.length > 0)
}

/** Where a page begins, as `getRuns` wants it; in the address it is `before=<instant>~<id>`. */
export function placeOf(query: URLSearchParams): string | undefined {
  const [, at, id] = /^(.+)~([0-9a-f-]{36})$/i.exec(query.get('before') ?? '') ?? []
  return at && id && !Number.isNaN(Date.parse(at)) ? JSON.stringify({ at, id }) : undefined
}

/** The same the other way round. */
export function placeInQuery(next: string): string {
  const { at, id } = JSON.parse(next) as { at: string; id: string }
  return `${at}~${id}`
}

/** An instant for `<input type="datetime-local">`, in this browser's zone, and back. */
export function toLocalInput(instant: string | undefined): string {
  if (!instant) return ''
  const at = new Date(instant)
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}

export function fromLocalInput(local: string): string | undefined {
  const at = new Date(local)
  return local && !Number.isNaN(at.getTime()) ? at.toISOString() : undefined
}
