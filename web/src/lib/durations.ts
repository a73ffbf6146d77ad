/**
 * How long a job's runs took, and which of them stand out. Pure.
 *
 * An outlier is beyond Tukey's fence (1.5 interquartile ranges above the upper quartile) and at least half as long
 * again as the median: a job that always takes 100 ms ± 2 has none.
 */

export interface DurationRun {
  id: string
  status: string
  durationMs?: number
}

export interface Bar<T> {
  run: T
  ms: number
  /** Share of the chart's height, 0 to 1. */
  height: number
  outlier: boolean
  /** Taller than the chart: drawn cut off, its value written beside it. */
  cut: boolean
}

export interface Durations<T> {
  bars: Bar<T>[]
  median: number
  p95: number
  /** What the full height stands for, in milliseconds. */
  top: number
}

const FENCE = 1.5
const LONGER = 1.5
const ENOUGH = 5

/** The value below which a share of the (sorted) values lie; between two of them, the straight line. */
export function quantile(sorted: number[], share: number): number {
  if (sorted.length === 0) return 0
  const at = (sorted.length - 1) * share
  const low = sorted[Math.floor(at)] ?? 0
  const high = sorted[Math.ceil(at)] ?? low
  return low + (high - low) * (at - Math.floor(at))
}

/** `runs` oldest first; those without a duration are left out. */
export function durations<T extends DurationRun>(runs: T[]): Durations<T> {
  const timed = runs.flatMap((run) => (typeof run.durationMs === 'number' ? [{ run, ms: run.durationMs }] : []))
  const sorted = timed.map(({ ms }) => ms).sort((a, b) => a - b)
  const median = quantile(sorted, 0.5)
  const limit = outlierLimit(sorted, median)
  const usual = sorted.filter((ms) => ms <= limit)
  const highest = sorted.at(-1) ?? 0
  const usualTop = usual.at(-1) ?? highest
  const top = niceTop(highest > 2 * usualTop ? 1.5 * usualTop : highest)
  return {
    bars: timed.map(({ run, ms }) => ({
      run,
      ms,
      height: Math.min(ms / top, 1),
      outlier: ms > limit,
      cut: ms > top,
    })),
    median,
    p95: quantile(sorted, 0.95),
    top,
  }
}

function outlierLimit(sorted: number[], median: number): number {
  if (sorted.length < ENOUGH) return Number.POSITIVE_INFINITY
  const upper = quantile(sorted, 0.75)
  const fence = upper + FENCE * (upper - quantile(sorted, 0.25))
  return Math.max(fence, LONGER * median)
}

const SECOND = 1000
const STEPS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, ...[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800].map((s) => s * SECOND)]
const HOUR_MS = 3_600_000

/** The next round number that people read easily: 1-2-5 below a second, clock values above. */
export function niceTop(ms: number): number {
  return STEPS_MS.find((step) => step >= ms) ?? Math.ceil(ms / HOUR_MS) * HOUR_MS
}
