import { Group, SegmentedControl, Select, Text, TextInput, Title } from '@mantine/core'
import { useMediaQuery } from '@mantine/hooks'
import { useWindowVirtualizer } from '@tanstack/react-virtual'
import { useLayoutEffect, useMemo, useRef, useState } from 'react'
import { useFilters } from '../lib/hash'
import { useJobs, useOpenRequests } from '../lib/live'
import { DAY_MS, useRecentRuns } from '../lib/recent'
import type { CronMirrorJob, CronRunRequest } from '../lib/rows'
import { type Span, ticks } from '../lib/timeline'
import { Icon } from '../parts/icons'
import marks from '../parts/Marks.module.css'
import { clockTime } from '../parts/marks'
import { Nothing, QueryState } from '../parts/QueryState'
import { useStandstill } from '../parts/standstill'
import { useNow } from '../parts/Time'
import classes from '../parts/Timeline.module.css'
import { TimelineRow } from '../parts/TimelineRow'

type Shown = 'both' | 'past' | 'next'
const SHOWN: { value: Shown; label: string }[] = [
  { value: 'both', label: 'Both' },
  { value: 'past', label: 'Last 24 h' },
  { value: 'next', label: 'Next 24 h' },
]
const ORDERS = [
  { value: 'name', label: 'By name' },
  { value: 'next', label: 'Next run first' },
  { value: 'trouble', label: 'Trouble first' },
]
/** The picture moves on so often. */
const STEP_MS = 30_000

/** The last and the next 24 h, a row per job. */
export default function Timeline() {
  const jobs = useJobs()
  const [filters, change] = useFilters()
  const shown = SHOWN.find(({ value }) => value === filters.get('show'))?.value ?? 'both'
  const order = ORDERS.find(({ value }) => value === filters.get('order'))?.value ?? 'name'
  const wanted = filters.get('q') ?? ''
  const rows = useMemo(() => arrange(jobs.data ?? [], wanted, order), [jobs.data, wanted, order])
  return (
    <>
      <Group justify="space-between" mb="sm" gap="sm">
        <Title order={1} size="h2">
          Timeline
        </Title>
        <Group gap="sm">
          <TextInput
            aria-label="Search by name, id or tag"
            placeholder="Search"
            leftSection={<Icon name="search" />}
            value={wanted}
            onChange={(event) => change({ q: event.currentTarget.value })}
            w={170}
          />
          <Select
            aria-label="Order"
            data={ORDERS}
            value={order}
            onChange={(value) => change({ order: value === 'name' ? undefined : (value ?? undefined) })}
            allowDeselect={false}
            w={150}
          />
          <SegmentedControl
            aria-label="Which hours"
            data={SHOWN}
            value={shown}
            onChange={(value) => change({ show: value === 'both' ? undefined : value })}
          />
        </Group>
      </Group>
      <QueryState query={jobs} lines={8}>
        {jobs.data?.length === 0 ? (
          <Nothing title="No cron jobs mirrored yet. The sync worker will publish jobs here." />
        ) : rows.length === 0 ? (
          <Nothing title="No job matches this search" />
        ) : (
          <Rows jobs={rows} shown={shown} />
        )}
      </QueryState>
    </>
  )
}

function arrange(jobs: CronMirrorJob[], wanted: string, order: string): CronMirrorJob[] {
  const text = wanted.trim().toLowerCase()
  const found = text
    ? jobs.filter((job) => [job.name, job.jobId, ...(job.tags ?? [])].some((each) => each.toLowerCase().includes(text)))
    : jobs
  const rank = RANKS[order] ?? (() => 0)
  return found.toSorted((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name) || a.jobId.localeCompare(b.jobId))
}

const RANKS: Record<string, (job: CronMirrorJob) => number> = {
  next: (job) => (job.enabled && job.nextRunAt ? Date.parse(job.nextRunAt) : Number.MAX_VALUE),
  trouble: (job) => (job.consecutiveFailures > 0 ? -job.consecutiveFailures : job.lastStatus === 'error' ? 0 : 1),
}

function Rows({ jobs, shown }: { jobs: CronMirrorJob[]; shown: Shown }) {
  const narrow = useMediaQuery('(max-width: 48em)') ?? false
  const list = useRef<HTMLUListElement>(null)
  const [margin, setMargin] = useState(0)
  useLayoutEffect(() => setMargin(list.current?.offsetTop ?? 0), [])
  const barHeight = useBarHeight()
  const virtual = useWindowVirtualizer({
    count: jobs.length,
    estimateSize: () => (narrow ? 66 : 44),
    overscan: 6,
    scrollMargin: margin,
    getItemKey: (index) => jobs[index]?.id ?? index,
  })
  const now = Math.floor(useNow() / STEP_MS) * STEP_MS
  const span = useMemo(() => spanOf(shown, now), [shown, now])
  const seen = virtual.getVirtualItems()
  const ids = useMemo(() => jobs.map(({ jobId }) => jobId), [jobs])
  const recent = useRecentRuns(ids, seen[0]?.index ?? 0, seen.at(-1)?.index ?? 0)
  const planned = usePlanned()
  const standstill = useStandstill()
  return (
    <>
      <Axis span={span} now={now} narrow={narrow} top={barHeight} />
      <ul ref={list} aria-label="Jobs" className={classes.lanes} style={{ height: virtual.getTotalSize() }}>
        {seen.map(({ key, index, start }) => {
          const job = jobs[index]
          return (
            job && (
              <li
                key={key}
                className={classes.lane}
                style={{ transform: `translateY(${start - margin}px)` }}
                aria-posinset={index + 1}
                aria-setsize={jobs.length}
              >
                <TimelineRow
                  job={job}
                  span={span}
                  now={now}
                  runs={recent.byJob.get(job.jobId)}
                  pending={recent.pending.has(job.jobId)}
                  planned={planned.get(job.jobId)}
                  standstill={standstill(job)}
                  buckets={narrow ? 80 : 192}
                />
              </li>
            )
          )
        })}
      </ul>
      {recent.failed && (
        <Text size="sm" c="dimmed" role="status">
          Some runs could not be read; what is shown may be old.
        </Text>
      )}
      {recent.cut.size > 0 && (
        <Text size="sm" c="dimmed">
          Some jobs run so often that only their newest runs are drawn.
        </Text>
      )}
      <Legend />
    </>
  )
}

/** Of the bar that stays at the top of every page: the hours stay below it. */
function useBarHeight(): number {
  const [height, setHeight] = useState(0)
  useLayoutEffect(() => {
    const bar = document.querySelector('header.bar')
    if (!bar) return
    const observer = new ResizeObserver(() => setHeight(bar.getBoundingClientRect().height))
    observer.observe(bar)
    return () => observer.disconnect()
  }, [])
  return height
}

function spanOf(shown: Shown, now: number): Span {
  return { from: shown === 'next' ? now : now - DAY_MS, to: shown === 'past' ? now : now + DAY_MS }
}

/** Requests that wait for their time, by job. */
function usePlanned(): ReadonlyMap<string, CronRunRequest[]> {
  const open = useOpenRequests().data
  return useMemo(() => {
    const found = new Map<string, CronRunRequest[]>()
    for (const request of open ?? []) {
      if (request.status === 'queued') found.set(request.jobId, [...(found.get(request.jobId) ?? []), request])
    }
    return found
  }, [open])
}

function Axis({ span, now, narrow, top }: { span: Span; now: number; narrow: boolean; top: number }) {
  const hours = (span.to - span.from) / 3_600_000
  const step = (hours > 24 ? 6 : 3) * (narrow && hours <= 24 ? 2 : 1)
  const nowX = (now - span.from) / (span.to - span.from)
  return (
    <div className={classes.axis} style={{ top }} aria-hidden="true">
      <div className={classes.name} />
      <div className={classes.strip}>
        {ticks(span, step).map(({ at, x, day }) => (
          // Too near to "now" the two would overlap.
          <span
            key={at}
            className={day ? `${classes.tick} ${classes.day}` : classes.tick}
            style={{ left: `${x * 100}%` }}
            hidden={x > 0.97 || Math.abs(x - nowX) < (narrow ? 0.11 : 0.05)}
          >
            {day ? new Date(at).toLocaleDateString('en-GB', { weekday: 'short', day: 'numeric' }) : clockTime(at)}
          </span>
        ))}
        <span className={`${classes.tick} ${classes.now}`} style={{ left: `${nowX * 100}%` }}>
          now
        </span>
      </div>
    </div>
  )
}

const LEGEND = [
  ['ok', 'ok'],
  ['error', 'failed, timed out or lost'],
  ['missed', 'missed'],
  ['skipped', 'skipped or cancelled'],
  ['running', 'running'],
  ['queued', 'request that waits'],
  ['slot', 'expected'],
] as const

function Legend() {
  return (
    <Text size="xs" c="dimmed" mt="md" component="div">
      <Group gap="md">
        {LEGEND.map(([status, word]) => (
          <span key={status}>
            <span className={marks.swatch} data-status={status} aria-hidden="true" /> {word}
          </span>
        ))}
      </Group>
      <p className={classes.print}>
        Runs that are near each other are one mark, which shows the worst of them. What is expected begins with the run that the agent
        announces; the rest is worked out here from the schedule. Times are those of this browser.
      </p>
    </Text>
  )
}
