import { expect, test } from 'vitest'
import { isOverdue } from './overdue'
import type { Presence } from './presence'
import type { CronRunRequest } from './rows'

const request = (more: Partial<CronRunRequest>) => ({ status: 'queued', ...more }) as CronRunRequest
const agent = (status: Presence['status']) => ({ status }) as Presence
const HOUR = 3_600_000
const inAnHour = new Date(Date.now() + HOUR).toISOString()
const anHourAgo = new Date(Date.now() - HOUR).toISOString()

test('what waits past its end is overdue, and what was cancelled and waits', () => {
  expect(isOverdue(request({ expiresAt: inAnHour }))).toBe(false)
  expect(isOverdue(request({ expiresAt: anHourAgo }))).toBe(true)
  expect(isOverdue(request({ expiresAt: inAnHour, cancelRequestedAt: anHourAgo }))).toBe(true)
  expect(isOverdue(request({ status: 'done', expiresAt: anHourAgo }))).toBe(false)
})

test('what runs is overdue when its agent is gone, not while nothing is known of it', () => {
  expect(isOverdue(request({ status: 'running', expiresAt: anHourAgo }))).toBe(false)
  expect(isOverdue(request({ status: 'running' }), agent('online'))).toBe(false)
  expect(isOverdue(request({ status: 'running' }), agent('offline'))).toBe(true)
})
