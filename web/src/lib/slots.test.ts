import { describe, expect, it } from 'vitest'
import { type Scheduled, upcoming } from './slots'
import vectors from './slots.vectors.json'

const NOW = Date.parse('2026-11-28T12:00:00Z')
const HOUR = 3_600_000

function cron(expr: string, nextRunAt: string | undefined, more: Partial<Scheduled> = {}): Scheduled {
  return { scheduleKind: 'cron', scheduleExpr: expr, tz: 'UTC', enabled: true, nextRunAt, ...more }
}

function clock(slots: number[]): string[] {
  return slots.map((slot) => new Date(slot).toISOString().slice(11, 16))
}

describe('upcoming', () => {
  // The same file is judged by tests/schedule/test_page_vectors.py: the page expands schedules as the agent does.
  it.each(vectors)('expands $expr in $tz after $after as the agent does', ({ expr, tz, after, slots }) => {
    const wanted = slots.map((slot) => Date.parse(slot))
    const last = wanted.at(-1) ?? 0

    const found = upcoming(cron(expr, slots[0], { tz }), Date.parse(after), last, { limit: slots.length })

    expect(found).toEqual({ slots: wanted, more: false })
  })

  it('begins with what the agent announces, and goes on from now when the mirror is behind', () => {
    const behind = cron('0 * * * *', '2026-11-28T09:00:00Z')

    expect(clock(upcoming(behind, NOW, NOW + 2 * HOUR, { limit: 9 }).slots)).toEqual(['13:00', '14:00'])
  })

  it('expects nothing before what the agent announces', () => {
    const later = cron('0 * * * *', '2026-11-28T15:00:00Z')

    expect(clock(upcoming(later, NOW, NOW + 4 * HOUR, { limit: 9 }).slots)).toEqual(['15:00', '16:00'])
  })

  it.each(['0 22 * * fri-mon', '0 0 * * l5', 'nonsense', '30 12 * * *'])(
    'shows of %s no more than the announced run, since it cannot be continued or says something else',
    (expr) => {
      const job = cron(expr, '2026-11-28T22:00:00Z')

      expect(upcoming(job, NOW, NOW + 24 * HOUR, { limit: 9 })).toMatchObject({
        slots: [Date.parse('2026-11-28T22:00:00Z')],
        note: 'unreadable',
      })
    },
  )

  it('counts periods from 1970, as the agent does', () => {
    const job = {
      scheduleKind: 'every',
      scheduleExpr: String(7 * 60_000),
      enabled: true,
      nextRunAt: new Date(Math.ceil(NOW / 420_000) * 420_000).toISOString(),
    }

    const { slots } = upcoming(job, NOW, NOW + HOUR / 2, { limit: 9 })

    expect(slots.every((slot) => slot % 420_000 === 0)).toBe(true)
    expect(slots).toHaveLength(4)
  })

  it('stops at the limit, or goes on with one slot per stretch of time', () => {
    const job = cron('*/10 * * * * *', '2026-11-28T12:00:10Z')

    expect(upcoming(job, NOW, NOW + 24 * HOUR, { limit: 3 })).toMatchObject({ more: true, slots: { length: 3 } })
    const sparse = upcoming(job, NOW, NOW + 24 * HOUR, { limit: 3, everyMs: HOUR })
    expect(sparse.more).toBe(true)
    expect(sparse.slots).toHaveLength(3 + 24)
  })

  it('knows one-time jobs before and after', () => {
    const at = { scheduleKind: 'at', scheduleExpr: '2026-11-28T18:00:00+01:00', enabled: true }

    expect(clock(upcoming({ ...at, nextRunAt: '2026-11-28T17:00:00Z' }, NOW, NOW + 24 * HOUR, { limit: 9 }).slots)).toEqual(['17:00'])
    expect(upcoming(at, NOW, NOW + 24 * HOUR, { limit: 9 })).toEqual({ slots: [], more: false })
  })

  it('expects nothing of jobs that are disabled, held, unannounced, or run on request or at start-up alone', () => {
    const job = cron('0 * * * *', '2026-11-28T13:00:00Z')
    const notes = [
      upcoming({ ...job, enabled: false }, NOW, NOW + HOUR, { limit: 9 }),
      upcoming(job, NOW, NOW + HOUR, { limit: 9, held: true }),
      upcoming({ ...job, nextRunAt: undefined }, NOW, NOW + HOUR, { limit: 9 }),
      upcoming({ enabled: true }, NOW, NOW + HOUR, { limit: 9 }),
      upcoming({ scheduleKind: 'startup', enabled: true }, NOW, NOW + HOUR, { limit: 9 }),
    ]

    expect(notes.map(({ slots, note }) => [slots.length, note])).toEqual([
      [0, 'disabled'],
      [0, 'held'],
      [0, 'held'],
      [0, undefined],
      [0, undefined],
    ])
  })
})
