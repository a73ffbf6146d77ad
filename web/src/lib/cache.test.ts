import { QueryObserver } from '@tanstack/react-query'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { current, forgetChanges, queryClient, readAgain, remember, take } from './cache'
import { ApiError } from './errors'
import { applyOne, each } from './patch'
import type { ProjectChange } from './realtime'
import type { CronRunRequest } from './rows'
import { refreshSession, session } from './supabase'

vi.mock('./supabase', async (original) => ({ ...(await original<object>()), refreshSession: vi.fn(async () => {}) }))

const request = (status: string, more = {}) => ({ id: 'q', jobId: 'backup', requestedAt: '2026-03-01T00:00:00Z', status, ...more })
const change = (row: Record<string, unknown>, table: ProjectChange['table'] = 'cron_run_requests'): ProjectChange => ({
  table,
  event: 'UPDATE',
  id: String(row.id),
  row,
})
const happens = (...changes: ProjectChange[]) => {
  for (const each of changes) remember(each)
  take('p', changes)
}
/** Readings that the test answers, in order. */
function server<T>() {
  const answers: ((answer: T) => void)[] = []
  return { read: vi.fn(() => new Promise<T>((resolve) => answers.push(resolve))), answer: (n: number, data: T) => answers[n]?.(data) }
}
const ends: (() => void)[] = []
/** As a page that shows it: what is read again is what somebody looks at. */
function look<T>(queryKey: unknown[], queryFn: () => Promise<T>) {
  ends.push(new QueryObserver(queryClient, { queryKey, queryFn, retry: false }).subscribe(() => {}))
  return () => queryClient.getQueryData<T>(queryKey)
}

beforeEach(() => {
  queryClient.clear()
  forgetChanges()
})
afterEach(() => {
  for (const end of ends.splice(0)) end()
  vi.mocked(refreshSession).mockClear()
})

it('keeps an end that was told while an older answer was under way', async () => {
  const { read, answer } = server<CronRunRequest | null>()
  const seen = look(['request', 'q'], () => current(read, each(applyOne<CronRunRequest>('cron_run_requests', 'q'))))
  happens(change(request('done')))
  answer(0, request('running') as CronRunRequest)
  await vi.waitFor(() => expect(seen()?.status).toBe('done'))

  void queryClient.refetchQueries({ queryKey: ['request', 'q'] })
  happens(change(request('error')))
  answer(1, request('running') as CronRunRequest)
  await vi.waitFor(() => expect(queryClient.isFetching()).toBe(0))
  expect(seen()?.status).toBe('error')
})

it('shows a row that came while the answer said that there is none', async () => {
  const { read, answer } = server<CronRunRequest | null>()
  const seen = look(['request', 'q'], () => current(read, each(applyOne<CronRunRequest>('cron_run_requests', 'q'))))
  answer(0, null)
  await vi.waitFor(() => expect(seen()).toBeNull())
  happens(change(request('queued')))
  expect(seen()?.status).toBe('queued')
})

it('forgets no change that came before its turn, and none of before the reading comes back', async () => {
  happens(change(request('queued')))
  await new Promise((resolve) => setTimeout(resolve, 2))
  const { read, answer } = server<CronRunRequest[]>()
  const reading = current(read, (list, changes) => [...list, ...changes.map((each) => each.row as unknown as CronRunRequest)])
  answer(0, [])
  expect(await reading).toEqual([])
})

it('reads once more what was being read for the first time when it was told to', async () => {
  const { read, answer } = server<string>()
  const seen = look(['attempts', 'q'], read)
  readAgain()
  expect(read).toHaveBeenCalledTimes(1)
  answer(0, 'of before the subscription')
  await vi.waitFor(() => expect(read).toHaveBeenCalledTimes(2))
  answer(1, 'of after')
  await vi.waitFor(() => expect(seen()).toBe('of after'))
  expect(read).toHaveBeenCalledTimes(2)
})

it('lets a slow reading come to its end, however many changes there are', async () => {
  const { read, answer } = server<string>()
  const seen = look(['attempts', 'q'], read)
  answer(0, 'first')
  await vi.waitFor(() => expect(seen()).toBe('first'))
  const run = { id: 'r', jobId: 'backup', requestId: 'q', status: 'running', startedAt: '2026-03-01T00:00:00Z' }
  for (let n = 0; n < 50; n++) happens(change(run, 'cron_runs'))
  expect(read).toHaveBeenCalledTimes(2)
  answer(1, 'second')
  await vi.waitFor(() => expect(read).toHaveBeenCalledTimes(3))
  expect(seen()).toBe('second')
})

it('leaves what a change does not name, and takes away what it says is gone', async () => {
  const { read, answer } = server<CronRunRequest[]>()
  const seen = look(['open', 'p'], read)
  answer(0, [request('running', { payload: 'long', claimedBy: 'mac' }) as CronRunRequest])
  await vi.waitFor(() => expect(seen()).toHaveLength(1))
  happens(change(request('queued', { claimedBy: undefined })))
  expect(seen()?.[0]).toMatchObject({ status: 'queued', payload: 'long', claimedBy: undefined })
})

it('renews the session once an answer says that it has ended, and only then', async () => {
  const failing = (kind: 'session' | 'refused') => () => Promise.reject(new ApiError(kind, 'no'))
  look(['a'], failing('session'))
  await vi.waitFor(() => expect(queryClient.getQueryState(['a'])?.status).toBe('error'))
  expect(refreshSession).not.toHaveBeenCalled()

  session.set({ kind: 'in', userId: 'u', email: 'e' })
  look(['b'], failing('refused'))
  await vi.waitFor(() => expect(queryClient.getQueryState(['b'])?.status).toBe('error'))
  expect(refreshSession).not.toHaveBeenCalled()
  look(['c'], failing('session'))
  await vi.waitFor(() => expect(refreshSession).toHaveBeenCalledTimes(1))
})

it('reads notices again when one changes, and connections with what goes with their changes', async () => {
  const reads = { unread: vi.fn(async () => 0), connections: vi.fn(async () => []), reconnects: vi.fn(async () => []) }
  for (const [name, read] of Object.entries(reads)) look<unknown>([name, 'p'], read)
  const counts = () => [reads.unread, reads.connections, reads.reconnects].map((read) => read.mock.calls.length)
  await vi.waitFor(() => expect(counts()).toEqual([1, 1, 1]))
  take('p', [change({ id: 'n', type: 'job_failed' }, 'cron_notifications')])
  await vi.waitFor(() => expect(counts()).toEqual([2, 1, 1]))
  take('p', [change({ id: 'n', type: 'integration_disconnected' }, 'cron_notifications')])
  await vi.waitFor(() => expect(counts()).toEqual([3, 2, 1]))
  take('p', [change({ id: 'r', status: 'waiting' }, 'cron_connection_requests')])
  await vi.waitFor(() => expect(counts()).toEqual([3, 3, 2]))
})
