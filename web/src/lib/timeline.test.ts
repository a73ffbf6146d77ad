import { describe, expect, it } from 'vitest'
import { endOf, runMarks, slotMarks, type TimedRun, ticks, worst } from './timeline'

const HOUR = 3_600_000
const SPAN = { from: 0, to: 24 * HOUR }

function run(hours: number, more: Partial<TimedRun> = {}): TimedRun {
  const at = new Date(hours * HOUR).toISOString()
  return { id: `run-${hours}`, status: 'ok', startedAt: at, finishedAt: at, ...more }
}

describe('runMarks', () => {
  it('gathers the runs of one bucket in one mark that shows the worst of them', () => {
    const marks = runMarks([run(1.2, { status: 'error' }), run(1.1), run(1.4), run(3)], SPAN, 24, 24 * HOUR)

    expect(marks.map(({ items, status }) => [items.map(({ id }) => id), status])).toEqual([
      [['run-1.1', 'run-1.2', 'run-1.4'], 'error'],
      [['run-3'], 'ok'],
    ])
    expect(marks[0]?.x).toBeCloseTo(1.1 / 24)
    expect(marks[0]?.width).toBeCloseTo(0.3 / 24)
  })

  it('leaves a run that is longer than a bucket alone, from its start to its end', () => {
    const long = run(2, { finishedAt: new Date(8 * HOUR).toISOString() })

    const marks = runMarks([long, run(2.5)], SPAN, 24, 24 * HOUR)

    expect(marks.map(({ x, width }) => [x * 24, width * 24])).toEqual([
      [2, 6],
      [2.5, 0],
    ])
  })

  it('does not put a long run into the mark of a short one before it', () => {
    const long = run(2.5, { finishedAt: new Date(8 * HOUR).toISOString() })

    expect(runMarks([run(2.1), long], SPAN, 24, 24 * HOUR).map(({ items }) => items.length)).toEqual([1, 1])
  })

  it('draws a run that goes on until now, and cuts one that began before the window', () => {
    const before = run(-3, { status: 'running', finishedAt: undefined })

    const [mark] = runMarks([before], SPAN, 24, 5 * HOUR)

    expect([mark?.x, (mark?.width ?? 0) * 24]).toEqual([0, 5])
  })

  it('knows a missed slot by when it should have begun', () => {
    const missed: TimedRun = { id: 'm', status: 'missed', scheduledFor: new Date(6 * HOUR).toISOString() }

    expect(runMarks([missed], SPAN, 24, 24 * HOUR)[0]?.x).toBe(0.25)
    expect(endOf(missed, 24 * HOUR)).toBe(6 * HOUR)
  })

  it('leaves out what is over before the window or begins after it', () => {
    expect(runMarks([run(-1), run(24), run(25)], SPAN, 24, 24 * HOUR)).toEqual([])
  })
})

describe('slotMarks', () => {
  it('draws a job of every second as one mark', () => {
    const slots = Array.from({ length: 7200 }, (_, second) => HOUR + second * 1000)

    const marks = slotMarks(slots, SPAN, 24)

    expect(marks.map(({ items }) => items.length)).toEqual([7200])
    expect([(marks[0]?.x ?? 0) * 24, (marks[0]?.width ?? 0) * 24].map(Math.round)).toEqual([1, 2])
  })

  it('leaves slots apart that have an empty bucket between them', () => {
    expect(slotMarks([HOUR, 2 * HOUR, 4 * HOUR], SPAN, 24).map(({ items }) => items.length)).toEqual([2, 1])
  })
})

describe('worst', () => {
  it('puts what failed before what did not run, and that before what went well', () => {
    expect(worst(['ok', 'missed', 'timeout'])).toBe('timeout')
    expect(worst(['ok', 'skipped'])).toBe('skipped')
    expect(worst(['ok', 'running'])).toBe('running')
    expect(worst(['something new'])).toBe('something new')
  })
})

describe('ticks', () => {
  it("are whole local hours, and midnight is a day's beginning", () => {
    const noon = new Date(2026, 10, 28, 12, 20).getTime()

    const found = ticks({ from: noon, to: noon + 24 * HOUR }, 6)

    expect(found.map(({ at, day }) => [new Date(at).getHours(), day])).toEqual([
      [18, false],
      [0, true],
      [6, false],
      [12, false],
    ])
    expect(found[0]?.x).toBeCloseTo((5 + 40 / 60) / 24)
  })
})
