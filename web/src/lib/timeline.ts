/**
 * Where marks stand on a strip of time: runs and slots gathered in buckets, so that a job of every second draws no more
 * than one of every hour. Pure; positions are shares of the window, 0 to 1.
 */

export interface Span {
  from: number
  to: number
}

/** A run, as far as a strip of time needs it. */
export interface TimedRun {
  id: string
  status: string
  reason?: string
  scheduledFor?: string
  startedAt?: string
  finishedAt?: string
  createdAt?: string
}

export interface Mark<T> {
  /** Left edge and width. */
  x: number
  width: number
  from: number
  to: number
  /** The worst of what it holds. */
  status: string
  items: T[]
}

/** Worst first. */
const GRAVITY = ['error', 'timeout', 'lost', 'missed', 'cancelled', 'skipped', 'running', 'ok']

export function worst(statuses: string[]): string {
  return GRAVITY.find((each) => statuses.includes(each)) ?? statuses[0] ?? 'ok'
}

/** When it began, or should have. */
export function beginOf(run: TimedRun): number {
  return Date.parse(run.startedAt ?? run.scheduledFor ?? run.createdAt ?? '')
}

/** A run that has not finished goes on until now; one that never began has no length. */
export function endOf(run: TimedRun, now: number): number {
  if (!run.startedAt) return beginOf(run)
  if (run.finishedAt) return Date.parse(run.finishedAt)
  return run.status === 'running' ? now : beginOf(run)
}

/** Runs that touch the span, oldest first; those of one bucket are one mark, longer ones stand alone. */
export function runMarks<T extends TimedRun>(runs: T[], span: Span, buckets: number, now: number): Mark<T>[] {
  const bucketMs = (span.to - span.from) / buckets
  const marks: Mark<T>[] = []
  let open: { bucket: number; mark: Mark<T> } | null = null
  const timed = runs
    .map((run) => ({ run, begin: beginOf(run), end: endOf(run, now) }))
    .filter(({ begin, end }) => end >= span.from && begin < span.to)
    .sort((a, b) => a.begin - b.begin)
  for (const { run, begin, end } of timed) {
    const bucket = Math.floor((begin - span.from) / bucketMs)
    const long = end - begin >= bucketMs
    if (open && !long && open.bucket === bucket) {
      grow(open.mark, run, end)
      continue
    }
    const mark: Mark<T> = { x: 0, width: 0, from: begin, to: end, status: run.status, items: [run] }
    marks.push(mark)
    open = long ? null : { bucket, mark }
  }
  return marks.map((mark) => placed(mark, span))
}

function grow<T extends TimedRun>(mark: Mark<T>, run: T, end: number): void {
  mark.items.push(run)
  mark.to = Math.max(mark.to, end)
  mark.status = worst([mark.status, run.status])
}

/** Slots to come, in order; `status` is `slot`. Where they fill one bucket after the other they are one mark. */
export function slotMarks(slots: number[], span: Span, buckets: number): Mark<number>[] {
  const bucketMs = (span.to - span.from) / buckets
  const marks: Mark<number>[] = []
  let last = Number.NaN
  for (const slot of slots) {
    const bucket = Math.floor((slot - span.from) / bucketMs)
    const open = marks.at(-1)
    if (open && bucket - last <= 1) {
      open.items.push(slot)
      open.to = slot
    } else {
      marks.push({ x: 0, width: 0, from: slot, to: slot, status: 'slot', items: [slot] })
    }
    last = bucket
  }
  return marks.map((mark) => placed(mark, span))
}

function placed<T>(mark: Mark<T>, span: Span): Mark<T> {
  const length = span.to - span.from
  const x = Math.max((mark.from - span.from) / length, 0)
  const end = Math.min((mark.to - span.from) / length, 1)
  return { ...mark, x, width: Math.max(end - x, 0) }
}

export interface Tick {
  at: number
  x: number
  /** Midnight: the day begins. */
  day: boolean
}

/** Whole hours of the local clock, every `step` of them. */
export function ticks(span: Span, step: number): Tick[] {
  const found: Tick[] = []
  const at = new Date(span.from)
  at.setMinutes(0, 0, 0)
  for (; at.getTime() <= span.to; at.setTime(at.getTime() + 3_600_000)) {
    if (at.getTime() < span.from || at.getHours() % step !== 0) continue
    found.push({ at: at.getTime(), x: (at.getTime() - span.from) / (span.to - span.from), day: at.getHours() === 0 })
  }
  return found
}
