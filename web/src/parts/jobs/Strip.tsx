import { type MouseEvent, memo } from 'react'
import { duration, exactTime } from '../../lib/format'
import { navigate, to } from '../../lib/hash'
import type { RecentRun } from '../../lib/rows'
import { statusColor } from '../StatusBadge'

const STEP = 7
const BAR = 5

/**
 * The last 20 runs of a job, oldest left; a click opens the run. The keyboard's way there is the job's page.
 * One element whose background is the bars: a table of thousands of rows scrolls past.
 */
export const Strip = memo(function Strip({ runs }: { runs: RecentRun[] }) {
  const at = (event: MouseEvent<HTMLElement>) => {
    const place = Math.floor((event.clientX - event.currentTarget.getBoundingClientRect().left) / STEP)
    return runs[runs.length - 1 - place]
  }
  if (!runs.length) return null
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the job's page lists the same runs as links
    <div
      role="img"
      aria-label={inWords(runs)}
      className="strip"
      style={{ width: runs.length * STEP, backgroundImage: bars(runs) }}
      onClick={(event) => {
        const run = at(event)
        if (run) navigate(to.run(run.id))
      }}
      onMouseMove={(event) => {
        const run = at(event)
        event.currentTarget.title = run ? describe(run) : ''
      }}
    />
  )
})

function bars(runs: RecentRun[]): string {
  const stops = runs.toReversed().map((run, place) => {
    const from = place * STEP
    const color = `var(--mantine-color-${statusColor(run.status)}-6)`
    return `${color} ${from}px ${from + BAR}px, transparent ${from + BAR}px ${from + STEP}px`
  })
  return `linear-gradient(90deg, ${stops.join(', ')})`
}

function describe(run: RecentRun): string {
  const took = run.durationMs === undefined ? '' : `, ${duration(run.durationMs)}`
  return `${run.status}${run.reason && run.reason !== run.status ? ` (${run.reason})` : ''}, ${exactTime(run.at)}${took}`
}

function inWords(runs: RecentRun[]): string {
  const counts = [...Map.groupBy(runs, (run) => run.status)].map(([status, found]) => `${found.length} ${status}`)
  return `Last ${runs.length} runs: ${counts.join(', ')}`
}
