import { memo } from 'react'
import { duration, exactTime } from '../../lib/format'
import { navigate, to } from '../../lib/hash'
import { useStrip } from '../../lib/live'
import type { RecentRun } from '../../lib/rows'
import { statusColor } from '../StatusBadge'

const STEP = 7
const HEIGHT = 20

/** The last 20 runs of a job, oldest left; a click opens the run. The keyboard's way there is the job's page. */
export const Strip = memo(function Strip({ jobId }: { jobId: string }) {
  const { data: runs = [] } = useStrip(jobId)
  const find = (target: EventTarget) => runs.find((run) => run.id === (target as SVGElement).dataset?.of)
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the job's page lists the same runs as links
    <svg
      role="img"
      aria-label={inWords(runs)}
      className="strip"
      width={runs.length * STEP}
      height={HEIGHT}
      onClick={(event) => {
        const run = find(event.target)
        if (run) navigate(to.run(run.id))
      }}
      onMouseOver={(event) => {
        const run = find(event.target)
        const title = event.currentTarget.querySelector('title')
        if (title) title.textContent = run ? describe(run) : ''
      }}
      onFocus={() => {}}
    >
      <title />
      {runs.map((run, place) => (
        <rect
          key={run.id}
          data-of={run.id}
          className={run.status === 'running' ? 'blink' : undefined}
          x={(runs.length - 1 - place) * STEP}
          y={run.status === 'ok' ? 4 : 0}
          width={STEP - 2}
          height={run.status === 'ok' ? HEIGHT - 4 : HEIGHT}
          rx={1.5}
          fill={`var(--mantine-color-${statusColor(run.status)}-6)`}
        />
      ))}
    </svg>
  )
})

function describe(run: RecentRun): string {
  const took = run.durationMs === undefined ? '' : `, ${duration(run.durationMs)}`
  return `${run.status}${run.reason && run.reason !== run.status ? ` (${run.reason})` : ''}, ${exactTime(run.at)}${took}`
}

function inWords(runs: RecentRun[]): string {
  if (!runs.length) return 'No runs yet'
  const counts = [...Map.groupBy(runs, (run) => run.status)].map(([status, found]) => `${found.length} ${status}`)
  return `Last ${runs.length} runs: ${counts.join(', ')}`
}
