import { Group, Text } from '@mantine/core'
import { useMemo } from 'react'
import { durations } from '../lib/durations'
import { duration } from '../lib/format'
import { to } from '../lib/hash'
import type { CronRun } from '../lib/rows'
import classes from './Chart.module.css'
import { Link } from './Link'
import { MarkRow } from './MarkRow'
import marksClasses from './Marks.module.css'
import { runInWords } from './marks'
import { Time } from './Time'

/** How long the last runs took, oldest first; runs that took far longer than usual stand out and are listed. */
export function DurationChart({ runs, jobName }: { runs: CronRun[]; jobName: string }) {
  const chart = useMemo(() => durations(runs), [runs])
  const { bars } = chart
  if (bars.length === 0) return <Text c="dimmed">No run has ended yet.</Text>
  const outliers = bars.filter((bar) => bar.outlier)
  const marks = bars.map((bar, index) => ({
    key: bar.run.id,
    x: (index + 0.1) / bars.length,
    width: 0.8 / bars.length,
    height: Math.max(bar.height, 0.02),
    status: bar.run.status,
    label: `${duration(bar.ms)}${bar.outlier ? ' (much longer than usual)' : ''}\n${runInWords(bar.run)}`,
    to: to.run(bar.run.id),
  }))
  return (
    <>
      <div className={classes.chart}>
        <Scale top={chart.top} median={chart.median} />
        <div className={classes.plot}>
          <MarkRow className={marksClasses.bars} marks={marks} label={`Durations of the last ${bars.length} runs of ${jobName}`} empty="" />
          {bars.map(
            (bar, index) => bar.outlier && <Flag key={bar.run.id} x={(index + 0.5) / bars.length} height={bar.height} cut={bar.cut} />,
          )}
          <svg className={classes.median} aria-hidden="true" preserveAspectRatio="none">
            <line x1="0" x2="100%" y1={`${(1 - chart.median / chart.top) * 100}%`} y2={`${(1 - chart.median / chart.top) * 100}%`} />
          </svg>
        </div>
      </div>
      <Group gap="lg" mt="xs">
        <Text size="sm">
          Median <b>{duration(chart.median)}</b>
        </Text>
        <Text size="sm">
          95 % within <b>{duration(chart.p95)}</b>
        </Text>
        <Text size="sm" c="dimmed">
          last {bars.length} runs, oldest first
        </Text>
      </Group>
      {outliers.length > 0 && (
        <Text size="sm" mt={4} component="div">
          Much longer than usual:{' '}
          {outliers
            .slice(-5)
            .reverse()
            .map(({ run, ms }, index) => (
              <span key={run.id}>
                {index > 0 && ', '}
                <Link to={to.run(run.id)} underline="always">
                  {duration(ms)}
                </Link>{' '}
                <Time at={run.startedAt} />
              </span>
            ))}
          {outliers.length > 5 && `, and ${outliers.length - 5} more`}
        </Text>
      )}
    </>
  )
}

function Scale({ top, median }: { top: number; median: number }) {
  const share = 1 - median / top
  return (
    <div className={classes.scale} aria-hidden="true">
      <span>{duration(top)}</span>
      {share > 0.2 && share < 0.85 && (
        <span style={{ position: 'absolute', top: `${share * 100}%`, translate: '0 -50%' }}>{duration(median)}</span>
      )}
      <span>0</span>
    </div>
  )
}

/** Above a bar that stands out: a triangle, and a break where the bar is cut off. */
function Flag({ x, height, cut }: { x: number; height: number; cut: boolean }) {
  return (
    <svg
      className={classes.flag}
      aria-hidden="true"
      viewBox="0 0 10 14"
      style={{ left: `${x * 100}%`, bottom: `calc(${height * 100}% + 1px)` }}
    >
      <path d="M5 0 10 8H0z" />
      {cut && <path className={classes.break} d="M0 12l5-2 5 2" />}
    </svg>
  )
}
