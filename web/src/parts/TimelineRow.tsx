import { memo, useMemo } from 'react'
import { exactTime, relativeTime, shorten, visible } from '../lib/format'
import { to } from '../lib/hash'
import type { CronMirrorJob, CronRun, CronRunRequest } from '../lib/rows'
import { scheduleInWords } from '../lib/schedules'
import { type Upcoming, upcoming } from '../lib/slots'
import { runMarks, type Span, slotMarks } from '../lib/timeline'
import { Data } from './Data'
import { Link } from './Link'
import { MarkRow, type RowMark } from './MarkRow'
import marksClasses from './Marks.module.css'
import { runMark, slotMark } from './marks'
import type { Standstill } from './standstill'
import classes from './Timeline.module.css'

/** Slots that are worked out one by one; of a denser schedule then one per mark. */
const SLOTS = 100

interface Props {
  job: CronMirrorJob
  span: Span
  now: number
  runs: CronRun[] | undefined
  pending: boolean
  planned: CronRunRequest[] | undefined
  standstill: Standstill | undefined
  /** Marks in the row, at most: each is at least a few pixels wide. */
  buckets: number
}

/** One job on the line of time: what it did and what it will do. */
export const TimelineRow = memo(function TimelineRow({ job, span, now, runs, pending, planned, standstill, buckets }: Props) {
  const held = standstill?.held === true
  const next = useMemo(() => expected(job, span, now, held, buckets), [job, span, now, held, buckets])
  const marks = useMemo(() => {
    const past = runMarks(runs ?? [], span, buckets, now).map(runMark)
    const requests = (planned ?? []).flatMap((request) => plannedMark(request, span))
    return [...past, ...slotMarks(next.slots, span, buckets).map((mark) => slotMark(mark, job.jobId, next.more)), ...requests].sort(
      (a, b) => a.x - b.x,
    )
  }, [runs, planned, next, span, now, job.jobId, buckets])
  const nowX = (now - span.from) / (span.to - span.from)
  return (
    <>
      <div className={classes.name}>
        <Link to={to.job(job.jobId)} size="sm" fw={500} truncate>
          <Data length={80}>{job.name}</Data>
        </Link>
        <div className={classes.words}>{standstill?.why ?? remark(next) ?? shorten(scheduleInWords(job), 60)}</div>
      </div>
      <div className={classes.strip}>
        {nowX > 0 && nowX < 1 && <span className={classes.line} style={{ left: `${nowX * 100}%` }} aria-hidden="true" />}
        <MarkRow
          marks={marks}
          label={summary(job, runs, next)}
          empty={pending ? '…' : emptyWords(next, standstill)}
          className={standstill ? marksClasses.still : ''}
        />
      </div>
    </>
  )
})

function expected(job: CronMirrorJob, span: Span, now: number, held: boolean, buckets: number): Upcoming {
  return upcoming(job, Math.max(now, span.from), span.to, { limit: SLOTS, everyMs: (span.to - span.from) / buckets, held })
}

function plannedMark(request: CronRunRequest, span: Span): RowMark[] {
  const at = Date.parse(request.runAt)
  if (!(at > span.from && at < span.to)) return []
  const x = (at - span.from) / (span.to - span.from)
  return [{ key: request.id, x, width: 0, status: 'queued', label: `waiting request · ${exactTime(at)}`, to: to.request(request.id) }]
}

function remark({ note }: Upcoming): string | undefined {
  if (note === 'disabled') return 'disabled'
  return note === 'held' ? 'its agent announces no next run' : undefined
}

function emptyWords(next: Upcoming, standstill: Standstill | undefined): string {
  const why = standstill?.why ?? remark(next)
  return why ? `no runs · ${why}` : 'no runs'
}

/** What the row says without being seen: "Nightly backup: 24 runs, 2 failed, 1 missed; next in 5 min". */
function summary(job: CronMirrorJob, runs: CronRun[] = [], next: Upcoming): string {
  const count = (...statuses: string[]) => runs.filter(({ status }) => statuses.includes(status)).length
  const [failed, missed] = [count('error', 'timeout', 'lost'), count('missed')]
  const first = next.slots[0]
  const facts = [
    `${runs.length} runs in 24 h`,
    failed > 0 && `${failed} failed`,
    missed > 0 && `${missed} missed`,
    first !== undefined && `next ${relativeTime(first)}`,
  ]
  return `${shorten(visible(job.name), 80)}: ${facts.filter(Boolean).join(', ')}`
}
