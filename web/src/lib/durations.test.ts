import { describe, expect, it } from 'vitest'
import { durations, niceTop, quantile } from './durations'

function runs(...ms: (number | undefined)[]) {
  return ms.map((durationMs, index) => ({ id: String(index), status: 'ok', durationMs }))
}

describe('durations', () => {
  it('marks the run that took much longer and lets it not flatten the others', () => {
    const found = durations(runs(100, 110, 105, 95, 100, 9000, 108))

    expect(found.bars.filter(({ outlier }) => outlier).map(({ ms, cut, height }) => [ms, cut, height])).toEqual([[9000, true, 1]])
    expect(found.median).toBe(105)
    expect(found.top).toBe(200)
    expect(found.bars[0]?.height).toBe(0.5)
  })

  it('finds no outlier among runs that take the same time but for a little', () => {
    expect(durations(runs(100, 100, 100, 100, 101, 103)).bars.some(({ outlier }) => outlier)).toBe(false)
  })

  it('judges nobody by fewer than five runs', () => {
    expect(durations(runs(1, 1, 1, 500)).bars.some(({ outlier }) => outlier)).toBe(false)
  })

  it('leaves out runs without a duration', () => {
    expect(durations(runs(5, undefined, 7)).bars.map(({ ms }) => ms)).toEqual([5, 7])
  })

  it('stands without any run, and with runs that took no time', () => {
    expect(durations(runs())).toMatchObject({ bars: [], median: 0, p95: 0 })
    expect(durations(runs(0, 0)).bars.map(({ height }) => height)).toEqual([0, 0])
  })
})

describe('quantile', () => {
  it('lies between two values on a straight line', () => {
    expect(quantile([10, 20], 0.5)).toBe(15)
    expect(quantile([10, 20, 30], 0.95)).toBeCloseTo(29)
  })
})

describe('niceTop', () => {
  it('is a number that people read easily', () => {
    expect([0, 130, 1000, 61_000, 5 * 3_600_000 + 1].map(niceTop)).toEqual([1, 200, 1000, 120_000, 6 * 3_600_000])
  })
})
