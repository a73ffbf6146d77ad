// Runs and slots as marks of a strip, in words.

import { between, duration, exactTime, shorten, visible } from '../lib/format'
import { to } from '../lib/hash'
import { type CronRun, runAt } from '../lib/rows'
import type { Mark } from '../lib/timeline'
import { why } from './HistoryRow'
import type { RowMark } from './MarkRow'

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })

/** "10:03" of the local clock. */
export function clockTime(at: number): string {
  return clock.format(at)
}

/** One run: "error · Sat, 28 Nov 2026, 10:03:00 · took 2.1 s" and, where it failed or did not run, why. */
export function runInWords(run: CronRun): string {
  const at = runAt(run)
  const took = run.durationMs ?? between(run.startedAt, run.finishedAt)
  const facts = [run.status, exactTime(at), took === undefined ? undefined : `took ${duration(took)}`]
  return [facts.filter(Boolean).join(' · '), shorten(visible(why(run)), 160)].filter(Boolean).join('\n')
}

/** A mark of runs: of one it opens that run, of many the list of the job's runs. */
export function runMark(mark: Mark<CronRun>): RowMark {
  const [only] = mark.items
  const alone = mark.items.length === 1 && only
  return {
    ...mark,
    key: only?.id ?? String(mark.from),
    label: alone ? runInWords(alone) : manyInWords(mark),
    to: alone ? to.run(alone.id) : only && to.runs({ job: only.jobId, from: isoTime(mark.from), to: isoTime(mark.to + 1000) }),
  }
}

function isoTime(at: number): string {
  return new Date(at).toISOString()
}

function manyInWords(mark: Mark<CronRun>): string {
  const counts = new Map<string, number>()
  for (const { status } of mark.items) counts.set(status, (counts.get(status) ?? 0) + 1)
  const parts = [...counts].map(([status, count]) => `${count} ${status}`)
  return `${mark.items.length} runs, ${clockTime(mark.from)}–${clockTime(mark.to)}: ${parts.join(', ')}`
}

/** A mark of slots to come. `dense`: there are more of them than were worked out. */
export function slotMark(mark: Mark<number>, jobId: string, dense: boolean): RowMark {
  const { length } = mark.items
  const times = length === 1 ? exactTime(mark.from) : `${clockTime(mark.from)}–${clockTime(mark.to)}`
  const label = dense ? `expected again and again · ${times}` : length === 1 ? `expected · ${times}` : `${length} runs expected · ${times}`
  return { ...mark, key: `slot-${mark.from}`, label, to: to.job(jobId) }
}
