// When a mirrored job will run: what its agent announces (`nextRunAt`), carried on by its schedule.
//
// The agent alone decides. So the expansion counts only where it agrees with the agent's own announcement, and what the
// mirror does not carry (jitter, a job's own rule for the change of clocks) is not guessed: the usual rule is taken.

import { Cron } from 'croner'
import type { CronMirrorJob } from './rows'

export type Scheduled = Pick<CronMirrorJob, 'scheduleKind' | 'scheduleExpr' | 'tz' | 'enabled' | 'nextRunAt'>

export interface Upcoming {
  /** In order, in milliseconds since 1970. */
  slots: number[]
  /** There are more of them than these. */
  more: boolean
  /** Why there are none, or not all of them; absent where nothing is missing. */
  note?: 'disabled' | 'held' | 'unreadable'
}

export interface Wanted {
  /** So many slots, one after the other. */
  limit: number
  /** Beyond `limit`: one slot per so many milliseconds, to the end of the window. Without it, none. */
  everyMs?: number
  /** Project or agents are paused, so the schedule stands still. */
  held?: boolean
}

const ALIASES: Record<string, string> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}

/** The slots in (after, until]. */
export function upcoming(job: Scheduled, after: number, until: number, wanted: Wanted): Upcoming {
  if (!job.scheduleKind || job.scheduleKind === 'startup') return { slots: [], more: false }
  if (!job.enabled) return { slots: [], more: false, note: 'disabled' }
  const announced = wanted.held || !job.nextRunAt ? Number.NaN : Date.parse(job.nextRunAt)
  if (Number.isNaN(announced)) {
    const over = job.scheduleKind === 'at' && !wanted.held
    return over ? { slots: [], more: false } : { slots: [], more: false, note: 'held' }
  }
  const series = seriesOf(job, Math.min(after, announced), Math.max(until, announced))
  if (series?.(announced - 1) !== announced) {
    return { slots: announced > after && announced <= until ? [announced] : [], more: false, note: 'unreadable' }
  }
  return take(series, Math.max(after, announced - 1), until, wanted)
}

/** The first slot strictly after an instant, or null. */
type Series = (after: number) => number | null

function take(series: Series, after: number, until: number, { limit, everyMs }: Wanted): Upcoming {
  const slots: number[] = []
  let more = false
  for (let at = series(after); at !== null && at <= until; at = series(more && everyMs ? at + everyMs - 1 : at)) {
    more ||= slots.length >= limit
    if (more && !everyMs) break
    slots.push(at)
  }
  return { slots, more }
}

function seriesOf(job: Scheduled, from: number, to: number): Series | null {
  const expr = (job.scheduleExpr ?? '').trim()
  if (job.scheduleKind === 'every') return everySeries(Number(expr))
  if (job.scheduleKind === 'at') return atSeries(Date.parse(expr))
  return job.scheduleKind === 'cron' ? cronSeries(expr, clockOf(job.tz ?? 'UTC', from, to)) : null
}

/** Whole multiples of the period since 1970, as the agent counts them. */
function everySeries(periodMs: number): Series | null {
  if (!(periodMs >= 1)) return null
  return (after) => (Math.floor(after / periodMs) + 1) * periodMs
}

function atSeries(at: number): Series | null {
  if (Number.isNaN(at)) return null
  return (after) => (at > after ? at : null)
}

/** What croner reads wall time by: a zone, or minutes ahead of UTC, with which it is ten times as quick. */
type Clock = { timezone: string } | { utcOffset: number }

const SHORT_MS = 3 * 86_400_000

/** The clock of a zone for a span of time: its offset where that stays the same. In three days it changes once at most. */
function clockOf(timezone: string, from: number, to: number): Clock {
  if (to - from > SHORT_MS) return { timezone }
  const utcOffset = offsetAt(timezone, from)
  return utcOffset !== null && utcOffset === offsetAt(timezone, to) ? { utcOffset } : { timezone }
}

const formats = new Map<string, Intl.DateTimeFormat | null>()

/** In minutes; null where this browser does not know the zone. */
function offsetAt(timezone: string, at: number): number | null {
  let format = formats.get(timezone)
  if (format === undefined) {
    format = offsetFormat(timezone)
    formats.set(timezone, format)
  }
  const said = format?.formatToParts(at).find(({ type }) => type === 'timeZoneName')?.value
  const [whole, sign, hours = '0', minutes = '0'] = /^GMT(?:([+-])(\d\d):(\d\d))?$/.exec(said ?? '') ?? []
  return whole === undefined ? null : (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes))
}

function offsetFormat(timeZone: string): Intl.DateTimeFormat | null {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' })
  } catch {
    return null
  }
}

/** Vixie's day rule: day of month and day of week are joined by "or", unless one of them begins with `*`. */
function cronSeries(expr: string, clock: Clock): Series | null {
  const text = expr.toLowerCase()
  const pattern = ALIASES[text] ?? text
  const [day = '', , weekday = ''] = pattern.split(/\s+/).slice(-3)
  try {
    const cron = new Cron(pattern, {
      ...clock,
      mode: '5-or-6-parts',
      sloppyRanges: true,
      domAndDow: day.startsWith('*') || weekday.startsWith('*'),
      fixedTimeRule: 'no-wildcard',
    })
    // croner knows whole seconds: of an instant within one it would pass over the next.
    return (after) => cron.nextRun(new Date(Math.floor(after / 1000) * 1000))?.getTime() ?? null
  } catch {
    return null
  }
}
