import { expect, it } from 'vitest'
import { activeStates, filterJobs, lastEnd, nextRun, stateOf, statusRank } from './jobs'
import type { CronMirrorJob, CronRun, CronRunRequest, RecentRun } from './rows'

const job = (jobId: string, more: Partial<CronMirrorJob> = {}) =>
  ({ id: jobId, jobId, name: jobId.toUpperCase(), enabled: true, agentIds: [], ...more }) as CronMirrorJob
const request = (id: string, status: string, more: Partial<CronRunRequest> = {}) =>
  ({ id, jobId: 'backup', status, ...more }) as CronRunRequest
const running = (jobId: string) => ({ id: 'run', jobId, status: 'running' }) as CronRun

it('shows a running request before those that wait', () => {
  const active = activeStates([request('a', 'queued'), request('b', 'running'), request('c', 'queued')], [])
  expect(stateOf(job('backup'), active)).toMatchObject({ status: 'running', queued: 2, request: { id: 'b' } })
})

it('shows the request that waits longest', () => {
  expect(stateOf(job('backup'), activeStates([request('a', 'queued'), request('b', 'queued')], [])).request?.id).toBe('a')
})

it('shows that a cancel was asked for', () => {
  const active = activeStates([request('a', 'running', { cancelRequestedAt: 'now' })], [running('backup')])
  expect(stateOf(job('backup'), active).status).toBe('cancelling')
})

it('shows a scheduled run, and the last result of who rests', () => {
  const active = activeStates([request('a', 'queued')], [running('backup'), running('sync')])
  expect(stateOf(job('backup'), active)).toMatchObject({ status: 'running', queued: 1 })
  expect(stateOf(job('sync'), active)).toMatchObject({ status: 'running' })
  expect(stateOf(job('other', { lastStatus: 'error' }), active)).toEqual({ status: 'error', queued: 0 })
})

it('filters by words in name, id and tags, by enabled and by status', () => {
  const jobs = [job('backup', { tags: ['Media'], lastStatus: 'ok' }), job('sync', { enabled: false }), job('resize', { tags: ['media'] })]
  const found = (filters: object) => filterJobs(jobs, filters, activeStates([request('a', 'queued')], [])).map((each) => each.jobId)
  expect(found({})).toEqual(['backup', 'sync', 'resize'])
  expect(found({ search: 'MEDIA' })).toEqual(['backup', 'resize'])
  expect(found({ search: 'media res' })).toEqual(['resize'])
  expect(found({ enabled: 'no' })).toEqual(['sync'])
  expect(found({ status: 'queued' })).toEqual(['backup'])
  expect(found({ status: 'never', enabled: 'yes' })).toEqual(['resize'])
})

it('ranks failures first and what never ran last', () => {
  const order = ['ok', undefined, 'error', 'running'].toSorted(
    (a, b) => statusRank({ status: a, queued: 0 }) - statusRank({ status: b, queued: 0 }),
  )
  expect(order).toEqual(['error', 'running', 'ok', undefined])
})

it.each([
  ['2026-03-01T12:05:00Z', 'cron', '*/5 * * * *', '2026-03-01T12:05:00Z', false],
  ['2026-03-01T11:59:30Z', 'cron', '*/5 * * * *', '2026-03-01T12:00:00.000Z', false],
  ['2026-03-01T11:50:00Z', 'cron', '*/5 * * * *', '2026-03-01T11:50:00Z', true],
  ['2026-03-01T11:59:30Z', 'every', '20000', '2026-03-01T12:00:10.000Z', false],
  ['2026-03-01T11:50:00Z', 'every', '20000', '2026-03-01T11:50:00Z', true],
])('of %s by %s %s, next is %s', (nextRunAt, scheduleKind, scheduleExpr, at, overdue) => {
  const now = Date.parse('2026-03-01T12:00:00Z')
  expect(nextRun(job('backup', { nextRunAt, scheduleKind, scheduleExpr }), now)).toEqual({ at, overdue })
})

it('has no next run without a schedule, or disabled', () => {
  expect(nextRun(job('backup'), 0)).toEqual({ overdue: false })
  expect(nextRun(job('backup', { enabled: false, nextRunAt: '2026-03-01T12:00:00Z' }), 0)).toEqual({ overdue: false })
})

it('says how a run really ended, of the newest that took place', () => {
  const runs = (...statuses: string[]) => statuses.map((status) => ({ status }) as RecentRun)
  expect(lastEnd('error', runs('running', 'missed', 'timeout', 'ok')).status).toBe('timeout')
  expect(lastEnd('error', runs('ok')).status).toBe('error')
  expect(lastEnd('ok', runs('error')).status).toBe('ok')
  expect(lastEnd(undefined).status).toBeUndefined()
})
