import { type MouseEvent, memo } from 'react'
import { duration, exactTime } from '../../lib/format'
import { navigate, to, useHashPath } from '../../lib/hash'
import type { RecentRun } from '../../lib/rows'
import { statusColor } from '../StatusBadge'

const STEP = 7
const BAR = 5

/**
 * The last 20 runs of a job, oldest left; a click opens the run. In a table of thousands of rows that scroll past it is one
 * element whose background is the bars; only in the row of the keyboard does it hold a link per run, which the arrows go
 * along. (A click gives the row the keyboard: the element it began on must still be there when it ends.)
 */
export const Strip = memo(function Strip({ runs, reachable }: { runs: RecentRun[]; reachable: boolean }) {
  const at = (event: MouseEvent<HTMLElement>) => {
    const place = Math.floor((event.clientX - event.currentTarget.getBoundingClientRect().left) / STEP)
    return runs[runs.length - 1 - place]
  }
  if (!runs.length) return null
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: for the keyboard there are the links
    <div
      role="group"
      aria-label={inWords(runs)}
      className="strip"
      style={{ width: runs.length * STEP, backgroundImage: bars(runs) }}
      onClick={(event) => {
        const run = at(event)
        if (!run || (event.target as HTMLElement).closest('a')) return
        navigate(to.run(run.id))
      }}
      onMouseMove={(event) => {
        const run = at(event)
        event.currentTarget.title = run ? describe(run) : ''
      }}
    >
      {reachable &&
        runs.toReversed().map((run) => (
          <a key={run.id} href={useHashPath.hrefs(to.run(run.id))} tabIndex={-1}>
            <span className="unseen">{describe(run)}</span>
          </a>
        ))}
    </div>
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
