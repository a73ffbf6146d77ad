import { describe, expect, it } from 'vitest'
import { scheduleExpression, scheduleInWords, scheduleWords, scheduleZone } from './schedules'

describe('cron, as a person would say it', () => {
  it.each([
    ['* * * * *', 'Every minute'],
    ['*/2 * * * *', 'Every 2 minutes'],
    ['*/30 * * * * *', 'Every 30 seconds'],
    ['0 * * * *', 'Every hour'],
    ['10 * * * *', 'Every hour at :10'],
    ['5,35 * * * *', 'Every hour at :05 and :35'],
    ['0,20,40 * * * *', 'Every hour at :00, :20, and :40'],
    ['0 */2 * * *', 'Every 2 hours'],
    ['20 */2 * * *', 'Every 2 hours at :20'],
    ['23 0-20/2 * * *', 'Every 2 hours at :23, 00:00–20:59'],
    ['*/30 8-20 * * *', 'Every 30 minutes, 08:00–20:59'],
    ['0 7-21 * * *', 'Every hour, 07:00–21:00'],
    ['*/15 8-17 * * 1-5', 'Every 15 minutes, 08:00–17:59, Monday to Friday'],
    ['0 3 * * *', 'At 03:00, every day'],
    ['0 8,20 * * *', 'At 08:00 and 20:00, every day'],
    ['30 0 3 * * *', 'At 03:00:30, every day'],
    ['30 6 * * 1-5', 'At 06:30, Monday to Friday'],
    ['0 9 * * 1', 'At 09:00, every Monday'],
    ['0 9 * * 1,3', 'At 09:00, every Monday and Wednesday'],
    ['0 0 1,15,22 * *', 'At 00:00, on the 1st, 15th, and 22nd of the month'],
    ['0 0 1 1 *', 'At 00:00, on the 1st of January'],
    ['0 6 * 1-3 *', 'At 06:00, every day, January to March'],
    ['not cron at all', 'not cron at all'],
  ])('%s: %s', (scheduleExpr, words) => expect(scheduleWords({ scheduleKind: 'cron', scheduleExpr })).toBe(words))
})

describe('other schedules', () => {
  it.each([
    [{ scheduleKind: 'every', scheduleExpr: '900000' }, 'Every 15 minutes'],
    [{ scheduleKind: 'every', scheduleExpr: '3600000' }, 'Every hour'],
    [{ scheduleKind: 'every', scheduleExpr: '2000' }, 'Every 2 seconds'],
    [{ scheduleKind: 'every', scheduleExpr: '5400000' }, 'Every 90 minutes'],
    [{ scheduleKind: 'every', scheduleExpr: '3661000' }, 'Every 1 h 1 m'],
    [{ scheduleKind: 'every', scheduleExpr: 'soon' }, 'Every soon'],
    [{ scheduleKind: 'at', scheduleExpr: '2026-12-24T17:00:00Z', tz: 'UTC' }, 'Once, Thu, 24 Dec 2026, 17:00:00 UTC'],
    [{ scheduleKind: 'startup' }, 'When the agent starts'],
    [{}, 'Only on request'],
  ])('%o reads %s', (job, words) => expect(scheduleWords(job)).toBe(words))
})

it('names the zone where the words depend on it, and shows the expression of cron alone', () => {
  const nightly = { scheduleKind: 'cron', scheduleExpr: '0 3 * * *', tz: 'Europe/Berlin' }
  const often = { scheduleKind: 'every', scheduleExpr: '900000', tz: 'Europe/Berlin' }
  expect(scheduleInWords(nightly)).toBe('At 03:00, every day · Europe/Berlin')
  expect(scheduleInWords(often)).toBe('Every 15 minutes')
  expect([scheduleExpression(nightly), scheduleExpression(often)]).toEqual(['0 3 * * *', undefined])
  expect([scheduleZone(nightly), scheduleZone(often)]).toEqual(['Europe/Berlin', undefined])
})
