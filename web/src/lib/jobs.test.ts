import { expect, it } from 'vitest'
import { activeStates, filterJobs, stateOf, statusRank } from './jobs'
import type { CronMirrorJob, CronRun, CronRunRequest } from './rows'

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
